"""Dead letters as a tool: listed, counted, tried again; and outcomes read back from the store."""

import asyncio
import hashlib
import json

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from support.planted import id_of, letter_of, reference
from support.world import BUCKET, IMAGES, ce, native, picture

from schemas.dead_letter import fit
from schemas.identity import outcome_id
from schemas.incoming import Record

pytestmark = [pytest.mark.integration, pytest.mark.slow]


async def deeptrace(world, *arguments, code=0, **env):
    """Run a command; return its JSON lines and what it said on standard error."""
    done = await asyncio.to_thread(world.run, *arguments, "--json", **env)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


async def count_images(world):
    async with AIOKafkaConsumer(IMAGES, bootstrap_servers=world.info.bootstrap_servers) as consumer:
        return sum((await consumer.end_offsets(consumer.assignment())).values())


async def write(world, *records):
    """Append records to their topics."""
    async with AIOKafkaProducer(bootstrap_servers=world.info.bootstrap_servers) as producer:
        for record in records:
            await producer.send_and_wait(
                record.topic, record.value, key=record.key, headers=list(record.headers), partition=record.partition
            )


def upload_notice(key, data):
    """Return a bucket notification as a server sends it: the key URL-encoded, the etag that of the bytes."""
    entity = {"bucket": {"name": BUCKET}, "object": {"key": key, "eTag": hashlib.md5(data).hexdigest()}}
    return json.dumps({"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": entity}]}).encode(), []


async def test_a_letter_is_replayed_once_its_cause_is_gone(world):
    """Missing first, then uploaded: each replay gives a verdict under a new id, with a pointer to the old; none is replayed twice."""
    late = json.dumps(json.loads(native("plain", "late")[0])).encode()
    await world.publish([native("late", "late"), (late, []), (b"garbage", ce("garbage"))])
    world.worker(DEEPTRACE_PIPELINE__RETRY_FIRST_S="0.02")
    await world.wait_for_outcomes(3, timeout_s=90)
    [counts, _] = await deeptrace(world, "dlq", "list", "--counts")
    assert {row["code"]: row["count"] for row in counts} == {"object_not_found": 2, "message_not_json": 1}
    letters, _ = await deeptrace(world, "dlq", "list", "--code", "object_not_found", "--since", "1h")
    assert {letter["outcome_id"] for letter in letters} == {
        outcome_id("ce", "/test", "late"),
        outcome_id("event", "default", "plain"),
    }

    world.put("late", picture(1))
    before = await count_images(world)
    chosen = ("dlq", "replay", "--code", "object_not_found")
    planned, said = await deeptrace(world, *chosen, "--dry-run")
    assert ["2 would be" in said, len(planned), await count_images(world)] == [True, 2, before]
    assert {json.loads(row["value"])["event_id"] for row in planned} == {"late", "plain"}
    assert all(["dt-replay-of", row["replay_of"]] in row["headers"] and not row["published"] for row in planned)
    _, said = await deeptrace(world, *chosen, code=2)
    assert "--yes" in said

    replayed, _ = await deeptrace(world, *chosen, "--yes")
    assert {row["replay_of"] for row in replayed} == {letter["outcome_id"] for letter in letters}
    await world.wait_for_outcomes(5, timeout_s=90)
    for row in replayed:
        [verdict], _ = await deeptrace(world, "outcome", row["outcome_id"])
        assert (verdict["outcome_id"], verdict["object"]["key"]) == (row["outcome_id"], "late")
        [old], _ = await deeptrace(world, "outcome", row["replay_of"])
        assert old["code"] == "object_not_found"

    again, said = await deeptrace(world, *chosen, "--yes")
    assert (again, await count_images(world)) == ([], before + 2)
    assert "2 left out: replayed before" in said
    once_more, _ = await deeptrace(world, *chosen, "--yes", "--again", "--limit", "1")
    assert len(once_more) == 1
    await world.wait_for_outcomes(6, timeout_s=90)
    audited = await asyncio.to_thread(world.run, "audit", "--json")
    assert json.loads(audited.stdout)["failed"] == []


async def test_the_letter_of_a_notification_is_replayed_as_a_reference(world):
    """The event is not its identity, the object is: sent again as it was, it would get its settled dead letter again."""
    await world.publish([upload_notice("late+cat.png", picture(1))])
    world.worker(DEEPTRACE_PIPELINE__RETRY_FIRST_S="0.02")
    await world.wait_for_outcomes(1, timeout_s=90)
    [letter], _ = await deeptrace(world, "dlq", "list")
    assert letter["code"] == "object_not_found"
    world.put("late cat.png", picture(1))
    [planned], _ = await deeptrace(world, "dlq", "replay", "--dry-run")
    place = json.loads(planned["value"])["object"]
    assert (place["key"], place["etag"]) == ("late cat.png", hashlib.md5(picture(1)).hexdigest())
    [replayed], _ = await deeptrace(world, "dlq", "replay", "--letter", letter["letter"], "--yes")
    await world.wait_for_outcomes(2, timeout_s=90)
    [verdict], _ = await deeptrace(world, "outcome", replayed["outcome_id"])
    assert (verdict["image_id"], verdict["source"]["format"]) == (f"{BUCKET}/late cat.png", "native")


async def test_a_list_is_picked_and_limited(world):
    """By several codes and by number; `show` and `replay` go to one letter; nothing that was cut is sent."""
    sources = [reference(f"r{n}", 0, n) for n in range(3)]
    cut = fit(Record(IMAGES, 0, 9, b"k", b"x" * 300_000))
    await write(world, *(letter_of(source, id_of(f"r{n}")) for n, source in enumerate(sources)))
    await write(world, letter_of(sources[0], id_of("r0")), letter_of(cut, id_of("cut")))
    shown, said = await deeptrace(world, "dlq", "list", "--code", "object_not_found", "--code", "other", "--limit", "2")
    assert [row["letter"] for row in shown] == ["0:3", "0:4"]
    assert "3 older dead letters left out" in said
    assert await deeptrace(world, "dlq", "list", "--code", "other") == ([], "")
    [row], _ = await deeptrace(world, "dlq", "show", "0:1")
    assert json.loads(row["value"])["event_id"] == "r1"
    planned, said = await deeptrace(world, "dlq", "replay", "--dry-run")
    assert sorted(row["replay_of"] for row in planned) == sorted(id_of(f"r{n}") for n in range(3))
    assert "1 left out: cut" in said
    _, said = await deeptrace(world, "dlq", "replay", "--letter", "0:4", "--yes", code=3)
    assert "cut" in said
    _, said = await deeptrace(world, "dlq", "replay", "--letter", "0:99", "--yes", code=3)
    assert "there is none" in said


async def test_an_outcome_is_read_back_as_it_is_stored(world):
    """The bytes, the words, and exit 3 with a remedy where there is none."""
    world.put("good", picture(1))
    await world.publish([native("first", "good")])
    world.worker()
    await world.wait_for_outcomes(1, timeout_s=90)
    identity = outcome_id("ce", "/test", "first")
    raw = await asyncio.to_thread(world.run, "outcome", identity, "--raw")
    stored = world.store.get("deeptrace-outcomes", f"outcomes/{identity}.json", max_bytes=1 << 20, deadline_s=10)
    assert raw.stdout.encode() == stored.data
    shown = await asyncio.to_thread(world.run, "outcome", identity)
    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines() if not line.startswith("stored at"))
    assert (lines["kind"], lines["outcome"], lines["image"]) == ("verdict", identity, "image-first of default")
    assert lines["from"].startswith(f"{IMAGES}/")
    _, said = await deeptrace(world, "outcome", "0" * 40, code=3)
    assert "deeptrace audit" in said
    _, said = await deeptrace(world, "outcome", "no-id", code=2)
    assert "40 hex digits" in said
