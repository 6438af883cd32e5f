"""Labels in a drift worker of its own, on a real broker and a real store: sent, joined, counted, whatever is sent beside and whoever dies."""

import asyncio
import json
import re
import signal
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.labels import label, labelled
from support.verdicts import verdict
from support.world import World

from schemas.incoming import Record
from schemas.label import Labelled
from schemas.settled import object_key
from schemas.shadow import Opinion, ShadowVerdict
from schemas.topics import record_key
from streams.outcomes import verdict_outcome

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LABELS, LABELLED, GROUP = "deeptrace.labels.v1", "deeptrace.labelled.v1", "deeptrace-drift-labels"
OUTCOMES = "deeptrace-outcomes"
SALT = "pepper-0123456789"
NOW = datetime.now(UTC)
PATIENCE_S = 60
REAL = {"verdict": "real", "predicted_source": "real"}


class Review:
    """A world with an archive, a drift worker, and reviewers."""

    def __init__(self, world, http):
        self.world = world
        self.http = http
        self.worker = None

    def settle(self, *numbers, **changes):
        """Put verdicts into the archive, as a scoring worker does."""
        for number in numbers:
            record = Record("deeptrace.images.v1", 0, number, b"k", b"{}", (), NOW)
            outcome = verdict_outcome(verdict(number, **changes), record)
            key, data = object_key(outcome.outcome_id), outcome.settled().to_bytes()
            self.world.store.put(OUTCOMES, key, data, content_type="application/json", deadline_s=10)

    def start(self):
        """Start the drift worker in its slot; its log tells its port."""
        self.worker = self.world.start(
            *("-m", "streams.cli", "drift-worker"),
            log="drift.log",
            DEEPTRACE_KAFKA__INSTANCE_ID="drift-0",
            DEEPTRACE_LABELS__WAIT_S="2",
            DEEPTRACE_LOG__FORMAT="json",
        )

    def kill(self):
        self.worker.send_signal(signal.SIGKILL)
        self.worker.wait()

    def log(self):
        return (self.world.folder / "drift.log").read_text()

    async def publish(self, *labels):
        """Send labels, or raw values, in this order to one partition."""
        async with AIOKafkaProducer(bootstrap_servers=self.world.info.bootstrap_servers, acks="all") as producer:
            for one in labels:
                raw = one if one is None or isinstance(one, bytes) else one.to_bytes()
                key = record_key(one.tenant, one.image_id) if hasattr(one, "tenant") else b"raw"
                await producer.send_and_wait(LABELS, raw, key=key, partition=0)

    async def joined(self):
        return [(record, Labelled.from_bytes(record.value)) for record in await self.world.records(LABELLED)]

    async def unread(self):
        """How many labels lie after what the group has committed."""
        async with AIOKafkaConsumer(
            bootstrap_servers=self.world.info.bootstrap_servers, group_id=GROUP, enable_auto_commit=False
        ) as consumer:
            places = [TopicPartition(LABELS, n) for n in range(self.world.settings.kafka.partitions)]
            ends = await consumer.end_offsets(places)
            return sum([end - (await consumer.committed(place) or 0) for place, end in ends.items()])

    def metrics(self):
        """Scrape the worker that started last; None before it listens."""
        ports = re.findall(r'"port": (\d+)', self.log())
        try:
            status, text = self.http(f"http://127.0.0.1:{ports[-1]}/metrics")
        except (IndexError, OSError):
            return None
        assert status == 200
        return dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))

    async def until(self, holds, what):
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + PATIENCE_S
        while not (found := holds() if not asyncio.iscoroutinefunction(holds) else await holds()):
            if loop.time() > ends_at or self.worker.poll() is not None:
                pytest.fail(f"not in time: {what}\n{self.log()[-6000:]}")
            await asyncio.sleep(0.2)
        return found

    async def until_read(self):
        async def all_read():
            return await self.unread() == 0

        await self.until(all_read, "every label committed")

    def figures(self, *names):
        found = self.metrics() or {}
        return {name: float(found[name]) for name in names if name in found}


@pytest.fixture
def review(world, http):
    return Review(world, http)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """A world without a worker, for commands that need none; each test here has topics to itself."""
    made = World(tmp_path_factory.mktemp("world"))
    yield Review(made, None)
    made.close()


def given(number, said="correct", **changes):
    return label(number, said, labelled_at=NOW, **changes)


def trial(number):
    """A champion that says real, and a candidate that says FLUX."""
    champion = Opinion(version="1.0", sha256="1" * 64, verdict="real", predicted_source="real", p_ai=0.1)
    candidate = Opinion(version="1.1", sha256="2" * 64, verdict="ai_generated", predicted_source="flux", p_ai=0.9)
    return ShadowVerdict(outcome_id=f"{number:040x}", tenant="acme", judged=NOW, champion=champion, candidate=candidate)


async def test_a_label_comes_to_a_gauge_whatever_lies_beside_it(review):
    """Bad labels are counted and passed over, a repeat counts once, and `labels report` says what the gauges say."""
    review.settle(1, 2, 3)
    review.start()
    await review.publish(
        None,
        b"{",
        b'{"schema": "deeptrace.label/9"}',
        b'{"schema": "deeptrace.label/1"}',
        given(1),
        given(1),
        given(2, "incorrect", true_source="real"),
        given(3, tenant="zoo"),
        given(4),
        given(3, "inconclusive"),
        label(3, labelled_at=NOW + timedelta(days=400)),
    )
    await review.until_read()
    records = await review.joined()
    assert sorted(one.label.outcome_id[-1] for _, one in records) == ["1", "1", "2", "3"]
    first, second = (record for record, one in records if one.label.outcome_id.endswith("1"))
    assert (first.key, first.value, first.headers) == (second.key, second.value, second.headers)

    wanted = {
        'deeptrace_labels_total{result="joined"}': 4,
        'deeptrace_labels_total{result="message_not_json"}': 2,
        'deeptrace_labels_total{result="message_invalid"}': 2,
        'deeptrace_labels_total{result="schema_version_unknown"}': 1,
        'deeptrace_labels_total{result="tenant_mismatch"}': 1,
        'deeptrace_labels_total{result="unmatched"}': 1,
        'deeptrace_labelled_outcomes{status="counted"}': 2,
        'deeptrace_labelled_outcomes{status="inconclusive"}': 1,
        'deeptrace_label_precision_ratio{bound="value",source="flux"}': 0.5,
        'deeptrace_label_recall_ratio{bound="value",source="real"}': 0,
        "deeptrace_labels_on": 1,
    }
    await review.until(lambda: review.figures(*wanted) == wanted, "the gauges")

    done = await asyncio.to_thread(review.world.run, "labels", "report", "--json")
    told = json.loads(done.stdout)
    assert (told["outcomes"], told["counted"], told["inconclusive"], told["unmatched"]) == (3, 2, 1, 2)
    assert told["classes"][1]["source"] == "flux"
    assert (told["classes"][1]["precision"]["count"], told["classes"][1]["precision"]["of"]) == (1, 2)
    assert told["refused"] == {"message_invalid": 2, "message_not_json": 2, "schema_version_unknown": 1}
    table = (await asyncio.to_thread(review.world.run, "labels", "report", "--tenant", "acme")).stdout
    assert "3 verdicts: 2 counted, 0 disputed, 0 contradictory, 1 inconclusive" in table
    assert "2 labelled verdicts, 200 are asked for" in table


async def test_a_trial_is_held_against_what_reviewers_said(commands):
    """`model compare` tells gains from losses where a label says what the image is."""
    bootstrap = commands.world.info.bootstrap_servers
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for number, said in ((1, "incorrect"), (2, "correct")):
            await producer.send_and_wait(LABELLED, labelled(given(number, said, true_source=None), **REAL).to_bytes())
        for number in (1, 2, 3):
            await producer.send_and_wait("deeptrace.verdicts.shadow.v1", trial(number).to_bytes())
    done = await asyncio.to_thread(commands.world.run, "model", "compare", "--json")
    told = json.loads(done.stdout)
    assert (told["n"], told["labelled"], told["gained"], told["lost"]) == (3, 2, 1, 1)
    text = (await asyncio.to_thread(commands.world.run, "model", "compare")).stdout
    assert "of 2 labelled images the candidate is right about AI or real on 1 where the champion is not" in text


async def test_labels_are_sent_from_the_command_line(commands):
    """The reviewer leaves it as a hash; what contradicts the verdict, or has none, is refused."""
    commands.settle(1)

    def send(number, *arguments, **env):
        named = ("labels", "send", f"{number:040x}", "--reviewer", "Anna", *arguments)
        return commands.world.run(*named, **({"DEEPTRACE_LABELS__REVIEWER_SALT": SALT} | env))

    def all_of_it():
        assert send(1, "--label", "correct", DEEPTRACE_LABELS__REVIEWER_SALT="").returncode == 78
        assert send(2, "--label", "correct").returncode == 3
        assert send(1, "--label", "correct", "--true-source", "real").returncode == 2
        return send(1, "--label", "incorrect", "--true-source", "sora", "--reason", "hands")

    done = await asyncio.to_thread(all_of_it)
    assert done.returncode == 0, done.stderr
    assert "image-1 of acme, flux, is incorrect" in done.stdout
    assert "unknown_generator" in done.stderr
    [record] = await commands.world.records(LABELS)
    body = json.loads(record.value)
    assert (record.key, body["true_source"], body["reason"]) == (b"acme|image-1", "sora", "hands")
    assert re.fullmatch("[0-9a-f]{32}", body["reviewer"])
    assert "anna" not in record.value.decode().lower()


async def test_a_worker_that_dies_and_a_store_that_is_away_lose_no_label(review):
    """What was not committed is joined by the next one, and the counts are what was said."""
    review.settle(*range(1, 41))
    review.start()
    await review.until(lambda: review.figures("deeptrace_labels_on") == {"deeptrace_labels_on": 1}, "labels on")
    review.world.signal_store(signal.SIGSTOP)
    await review.publish(*(given(number) for number in range(1, 41)))
    await review.until(
        lambda: (review.figures("deeptrace_labels_unfinished") or {"": 0}) != {"deeptrace_labels_unfinished": 0},
        "labels waiting",
    )
    assert await review.unread() == 40
    review.kill()
    review.world.signal_store(signal.SIGCONT)
    review.start()
    await review.until_read()
    assert {one.label.outcome_id for _, one in await review.joined()} == {f"{n:040x}" for n in range(1, 41)}
    wanted = {
        'deeptrace_labelled_outcomes{status="counted"}': 40,
        'deeptrace_label_precision_ratio{bound="value",source="flux"}': 1,
    }
    await review.until(lambda: review.figures(*wanted) == wanted, "the gauges")
    review.worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(review.worker.wait, 30) == 0
