"""The narrator as a process of its own, on a real broker, against the API's HTTP on loopback."""

import asyncio
import json
import signal

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support import fake_claude
from support.fake_claude import FakeClaude
from support.verdicts import doubtful, verdict

from schemas.narrative import Narrative
from schemas.topics import record_key
from schemas.verdict import Explanation, JudgedObject

pytestmark = [pytest.mark.integration, pytest.mark.slow]

VERDICTS, EXPLANATIONS, GROUP = "deeptrace.verdicts.v1", "deeptrace.explanations.v1", "deeptrace-narrator"
KEY = "sk-canary-0123456789"
PATIENCE_S = 60


class Narrators:
    """Starts narrators in a world, and watches what they publish."""

    def __init__(self, world, fake):
        self.world = world
        self.fake = fake
        self.env = {
            "DEEPTRACE_NARRATOR__API_KEY": KEY,
            "DEEPTRACE_NARRATOR__BASE_URL": fake.url,
            "DEEPTRACE_HTTP__NARRATOR_PORT": "0",
            "DEEPTRACE_LOG__LEVEL": "debug",
        }

    def start(self, slot="narrator-0", **env):
        return self.world.start(
            *("-m", "streams.cli", "narrate"), log=f"{slot}.log", DEEPTRACE_KAFKA__INSTANCE_ID=slot, **self.env, **env
        )

    def logs(self):
        return "\n".join(path.read_text() for path in self.world.folder.glob("*.log"))

    def port(self):
        """The port that the last narrator to start has told in its log."""
        told = [json.loads(line) for line in self.logs().splitlines() if '"event": "starting"' in line]
        return told[-1]["port"]

    async def publish(self, *found):
        """Publish verdicts, or raw values, as the scoring worker does."""
        async with AIOKafkaProducer(bootstrap_servers=self.world.info.bootstrap_servers, acks="all") as producer:
            for one in found:
                raw = isinstance(one, bytes)
                key = b"raw" if raw else record_key(one.tenant, one.image_id)
                await producer.send_and_wait(VERDICTS, one if raw else one.to_bytes(), key=key)

    async def narratives(self):
        return [(record, Narrative.from_bytes(record.value)) for record in await self.world.records(EXPLANATIONS)]

    async def told(self):
        return {narrative.outcome_id for _, narrative in await self.narratives()}

    async def unread(self):
        """How many verdicts lie after what the group has committed."""
        async with AIOKafkaConsumer(
            bootstrap_servers=self.world.info.bootstrap_servers, group_id=GROUP, enable_auto_commit=False
        ) as consumer:
            places = [TopicPartition(VERDICTS, n) for n in range(self.world.settings.kafka.partitions)]
            ends = await consumer.end_offsets(places)
            return sum([end - (await consumer.committed(place) or 0) for place, end in ends.items()])

    async def until(self, holds, what):
        """Wait until `holds` does; fail with the logs when it does not in time."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + PATIENCE_S
        while not (found := holds() if not asyncio.iscoroutinefunction(holds) else await holds()):
            if loop.time() > ends_at:
                pytest.fail(f"not in time: {what}\n{self.logs()[-6000:]}")
            await asyncio.sleep(0.1)
        return found

    async def all_read(self):
        async def nothing_unread():
            return await self.unread() == 0

        await self.until(nothing_unread, "everything committed")

    async def stop(self, child):
        child.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(child.wait, PATIENCE_S)


@pytest.fixture
async def narrators(world):
    """A world, a fake API, and what starts narrators between the two."""
    async with FakeClaude() as fake:
        yield Narrators(world, fake)


async def test_uncertain_verdicts_get_words(narrators, http):
    """Under the key of the verdict, with an event id of its own; the rest is skipped and counted, and all of it is committed."""
    canary = "CANARY planted here"
    hidden = {
        "external_id": canary,
        "labels": {"source": canary},
        "object": JudgedObject(
            bucket=canary,
            key=canary,
            version_id=canary,
            etag=canary,
            sha256=canary,
            size_bytes=1,
            format=canary,
            width=1,
            height=1,
        ),
        "explanation": Explanation(status="written", bucket=canary, key=canary, method=canary, target_class=canary),
        "flags": (canary, "low_res"),
        "reasons": (canary, "weak_evidence"),
    }
    await narrators.publish(
        *(doubtful(n, tenant=canary, image_id=f"{canary} {n}", **hidden) for n in range(1, 7)),
        *(verdict(n) for n in range(7, 12)),
        b"not a verdict",
        doubtful(12, verdict="not_assessable", confidence=None),
    )
    child = narrators.start()
    await narrators.all_read()
    found = await narrators.narratives()
    assert {narrative.outcome_id for _, narrative in found} == {f"{n:040x}" for n in range(1, 7)}
    for record, narrative in found:
        headers = dict(record.headers)
        assert record.key == record_key(narrative.tenant, narrative.image_id)
        assert headers["ce_type"] == b"deeptrace.explanation.v1"
        assert headers["ce_id"] != narrative.outcome_id.encode()
        assert (narrative.summary, narrative.caution) == ("The result is inconclusive.", "weak_evidence")
        assert narrative.selected_for == ("inconclusive", "low_confidence")
    assert len({dict(record.headers)["ce_id"] for record, _ in found}) == 6
    assert len(narrators.fake.raw) == 6
    assert all(b"CANARY" not in body for body in narrators.fake.raw)
    assert all(b"low_res" in body for body in narrators.fake.raw)
    url = f"http://127.0.0.1:{narrators.port()}"
    metrics = http(f"{url}/metrics")[1].decode()
    for line in (
        'deeptrace_narratives_total{result="written"} 6.0',
        'deeptrace_narratives_skipped_total{reason="not_selected"} 6.0',
        'deeptrace_narratives_skipped_total{reason="unreadable"} 1.0',
        'deeptrace_explain_tokens_total{kind="input"} 4200.0',
        'deeptrace_explain_tokens_total{kind="output"} 540.0',
        "deeptrace_explain_budget_left_tokens 195260.0",
        "deeptrace_narrator_inflight_verdicts 0.0",
    ):
        assert line in metrics.splitlines()
    assert http(f"{url}/livez")[0] == 200
    assert http(f"{url}/readyz")[0] == 200
    assert await narrators.stop(child) == 0
    assert KEY not in narrators.logs() + metrics
    assert "CANARY" not in narrators.logs()


async def test_a_spent_budget_stops_the_requests_over_a_restart(narrators, http):
    """Three answers of 6,100 tokens leave less than a fourth may cost; what comes after is skipped, not queued."""
    narrators.fake.otherwise = fake_claude.ok(usage=(6000, 100))
    env = {"DEEPTRACE_NARRATOR__TOKENS_PER_DAY": "20000", "DEEPTRACE_NARRATOR__IN_FLIGHT": "1"}
    await narrators.publish(*(doubtful(n) for n in range(10)))
    child = narrators.start(**env)
    await narrators.all_read()
    metrics = http(f"http://127.0.0.1:{narrators.port()}/metrics")[1].decode().splitlines()
    assert 'deeptrace_narratives_skipped_total{reason="budget"} 7.0' in metrics
    assert await narrators.stop(child) == 0
    narrators.start(**env)
    await narrators.publish(*(doubtful(n) for n in range(10, 15)))
    await narrators.all_read()
    assert (len(narrators.fake.requests), len(await narrators.told())) == (3, 3)
    spent = json.loads((narrators.world.folder / ".deeptrace/narrator/budget.json").read_text())
    assert spent["tokens"] == 18_300


async def test_a_narrator_that_is_killed_loses_nothing(narrators):
    """Every selected verdict gets its words; what is paid for twice is at most what was being asked about when it died."""
    wanted = {f"{n:040x}" for n in range(60)}

    async def slow(fake, request, body):
        await asyncio.sleep(0.05)
        return fake_claude.ok()(fake, request, body)

    narrators.fake.otherwise = slow
    await narrators.publish(*(doubtful(n) for n in range(60)))
    for kills in range(1, 3):
        child = narrators.start()
        await narrators.until(lambda asked=15 * kills: len(narrators.fake.requests) >= asked, "requests")
        child.kill()
        child.wait()
    assert len(await narrators.told()) < 60
    narrators.start()

    async def all_told():
        return await narrators.told() >= wanted

    await narrators.until(all_told, "words for every verdict")
    found = await narrators.narratives()
    ids = {narrative.outcome_id: dict(record.headers)["ce_id"] for record, narrative in found}
    assert ids.keys() == wanted
    assert all(dict(record.headers)["ce_id"] == ids[narrative.outcome_id] for record, narrative in found)
    assert len(narrators.fake.requests) <= 60 + 2 * (2 * narrators.world.settings.narrator.in_flight)
    assert narrators.fake.most_at_once <= narrators.world.settings.narrator.in_flight


async def test_a_narrator_that_is_told_to_stop_finishes_what_is_paid_for(narrators):
    """It waits for the answer, publishes and commits it; the next one asks about the rest and nothing else."""
    narrators.fake.otherwise = fake_claude.hang
    await narrators.publish(*(doubtful(n) for n in range(8)))
    child = narrators.start(DEEPTRACE_NARRATOR__TIMEOUT_S="60")
    await narrators.until(lambda: len(narrators.fake.requests) == 4, "four requests under way")
    child.send_signal(signal.SIGTERM)
    await narrators.until(lambda: '"event": "stopping"' in narrators.logs(), "the narrator stops")
    narrators.fake.let_go.set()
    assert await asyncio.to_thread(child.wait, PATIENCE_S) == 0
    assert len(await narrators.told()) == 4
    narrators.start()
    await narrators.all_read()
    assert len(narrators.fake.requests) == 8
    assert len(await narrators.narratives()) == 8


async def test_an_api_that_fails_is_left_alone_and_taken_up_again(narrators, http):
    """Verdicts are skipped meanwhile, `/readyz` says why; when it answers again, so do the narratives."""
    narrators.fake.otherwise = fake_claude.error(529)
    narrators.start(DEEPTRACE_NARRATOR__PAUSE_FIRST_S="1", DEEPTRACE_NARRATOR__PAUSE_LAST_S="1")
    await narrators.publish(*(doubtful(n) for n in range(20)))
    await narrators.all_read()
    url = f"http://127.0.0.1:{narrators.port()}"
    status, body = http(f"{url}/readyz")
    assert (status, json.loads(body)["checks"]["claude"]) == (503, "HTTP 529 overloaded_error")
    assert await narrators.told() == set()
    assert len(narrators.fake.requests) < 20
    assert 'deeptrace_narratives_skipped_total{reason="paused"} 0.0' not in http(f"{url}/metrics")[1].decode()
    narrators.fake.otherwise = fake_claude.ok()
    number = iter(range(100, 1000))

    async def one_is_told():
        await narrators.publish(doubtful(next(number)))
        return await narrators.told()

    await narrators.until(one_is_told, "words again")
    assert http(f"{url}/readyz")[0] == 200


async def test_two_narrators_share_the_work_and_take_over(narrators):
    """One joins in the middle of it and one leaves: no verdict is left out."""
    wanted = {f"{n:040x}" for n in range(80)}

    async def slow(fake, request, body):
        await asyncio.sleep(0.1)
        return fake_claude.ok()(fake, request, body)

    narrators.fake.otherwise = slow
    short = {"DEEPTRACE_KAFKA__SESSION_TIMEOUT_S": "6"}  # a slot that leaves is waited for this long
    first = narrators.start("narrator-0", **short)
    await narrators.publish(*(doubtful(n) for n in range(80)))
    await narrators.until(lambda: len(narrators.fake.requests) >= 5, "requests of the first")
    narrators.start("narrator-1", **short)
    await narrators.until(
        lambda: (narrators.world.folder / "narrator-1.log").read_text().count("partitions assigned"),
        "the second joined",
    )
    assert await narrators.stop(first) == 0

    async def all_told():
        return await narrators.told() >= wanted

    await narrators.until(all_told, "words for every verdict")
