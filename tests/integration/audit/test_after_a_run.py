"""What a real worker left behind passes the audit; one record taken away or added afterwards does not."""

import asyncio
import json
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from support.planted import altered
from support.world import LETTERS, VERDICTS, ce, native, picture

from schemas.incoming import Record

pytestmark = [pytest.mark.integration, pytest.mark.slow]

REFERENCES = 40


async def audit(world, *arguments):
    done = await asyncio.to_thread(world.run, "audit", "--json", *arguments)
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


async def outcomes(world):
    """Return every record of the two outcome topics."""
    found = []
    async with AIOKafkaConsumer(
        VERDICTS, LETTERS, bootstrap_servers=world.info.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers)) for r in records]
    return found


async def publish(world, record):
    """Append a record to its topic and partition."""
    async with AIOKafkaProducer(bootstrap_servers=world.info.bootstrap_servers) as producer:
        await producer.send_and_wait(
            record.topic, record.value, key=record.key, headers=list(record.headers), partition=record.partition
        )


async def remove_first(world, record):
    """Delete the first record of a partition for good."""
    admin = AIOKafkaAdminClient(bootstrap_servers=world.info.bootstrap_servers)
    await admin.start()
    try:
        place = TopicPartition(record.topic, record.partition)
        await admin.delete_records({place: RecordsToDelete(before_offset=record.offset + 1)})
    finally:
        await admin.close()


async def test_a_workers_run_passes_and_what_is_done_to_it_afterwards_is_found(world):
    """40 references, four of them bad, two sent twice: exit 0. Then a removed verdict, an altered repeat and a letter beside a verdict."""
    world.put("good", picture(1))
    await world.publish(
        [
            *(native(f"e{n}", "no-such-object" if n % 10 == 7 else "good") for n in range(REFERENCES)),
            *(native(f"e{n}", "good") for n in (0, 1)),
            (b"garbage", ce("garbage")),
        ]
    )
    world.worker(DEEPTRACE_PIPELINE__RETRY_FIRST_S="0.02")
    await world.wait_for_outcomes(REFERENCES + 1, timeout_s=120)
    for _ in range(60):  # until the last commit: on a slow machine the first audit comes before any
        code, report, said = await audit(world, "--complete")
        if not report.get("pending") and not report.get("notes"):
            break
        await asyncio.sleep(0.5)
    assert (code, report["failed"], report["notes"]) == (0, [], []), said
    counts = ("accepted", "duplicates", "verdicts", "dead_letters", "stored")
    assert [report[name] for name in counts] == [41, 2, 36, 5, 41]
    assert report["dead_letters_by_code"] == {"message_not_json": 1, "object_not_found": 4}
    assert (await audit(world, "--complete", "--deep"))[0] == 0

    found = await outcomes(world)
    verdicts = [record for record in found if record.topic == VERDICTS]
    letter = next(record for record in found if record.topic == LETTERS)
    first = min(verdicts, key=lambda record: (record.partition, record.offset))
    other, beside = [record for record in verdicts if record.partition != first.partition][:2]
    ids = {
        name: json.loads(record.value)["outcome_id"]
        for name, record in (("first", first), ("other", other), ("beside", beside))
    }
    await remove_first(world, first)
    await publish(world, altered(other))
    headers = (*letter.headers[:-1], ("dt-outcome-id", ids["beside"].encode()))
    await publish(world, replace(letter, headers=headers))
    code, report, said = await audit(world)
    assert code == 3
    named = {kind: {one["outcome_id"] for one in shown} for kind, shown in report["examples"].items()}
    assert named == {
        "missing": {ids["first"]},
        "stored_not_published": {ids["first"]},
        "repeats_not_identical": {ids["other"]},
        "both": {ids["beside"]},
        "wrong_source": {ids["beside"]},
        "differs_from_stored": {ids["other"], ids["beside"]},
    }
    assert f"{VERDICTS} has lost its beginning" in report["notes"][0]


async def test_an_audit_while_workers_are_at_it_finds_no_fault(world):
    """Offsets are fixed in an order in which nothing can be due and not yet seen; objects that are not there wait on a retry topic."""
    world.put("good", picture(1))
    env = {"DEEPTRACE_KAFKA__RETRY_DELAYS_S": "[2, 3]", "DEEPTRACE_PIPELINE__RETRY_FIRST_S": "0.02"}
    made = await asyncio.to_thread(world.run, "topics", "apply", **env)
    assert made.returncode == 0, made.stderr
    for slot in ("one", "two"):
        world.worker(slot, **env)
    published, seen = 0, []
    while len(seen) < 8 or seen[-1]["pending"]:
        if len(seen) < 8:
            numbers = range(published, published + 150)
            await world.publish([native(f"e{n}", "no-such-object" if n % 15 == 7 else "good") for n in numbers])
            published += 150
        done = await asyncio.to_thread(world.run, "audit", "--json", **env)
        seen.append(json.loads(done.stdout))
        assert (done.returncode, seen[-1]["failed"]) == (0, []), done.stdout + done.stderr
        assert len(seen) < 60
    assert any(report["pending"] for report in seen), "none of them looked while something was under way"
    counts = ("accepted", "verdicts", "dead_letters", "stored")
    assert [seen[-1][name] for name in counts] == [1200, 1120, 80, 1200]
