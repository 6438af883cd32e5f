"""The drift worker as a process of its own, on a real broker: windows equal a recount, whatever dies."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import topics
from schemas.identity import outcome_id
from schemas.topics import record_key
from schemas.verdict import Explanation, JudgedObject, ModelStamp, SourceRecord, Timing, Verdict
from schemas.window import DriftAlert, WindowSummary
from streams.producer import Producer
from streams.settings import KafkaSettings
from streams.stack.local_stack import StackInfo
from streams.topics import apply, drift_table_changelog

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WINDOW_S = 60
LATENESS_S = 30
CLASSES = ("real", "flux", "midjourney")
REFERENCE = '{"real": 0.8, "flux": 0.1, "midjourney": 0.1}'
GROUP = "drift-test"
WORKER = """
from streams.drift.app import DriftService
from streams.logs import configure_logs
from streams.runner import run_service
from streams.settings_sources import load
settings = load().settings
configure_logs(settings.log)
raise SystemExit(run_service(lambda: DriftService(settings)))
"""
ON_A_SLOW_BROKER = """
import asyncio
from faust.transport.consumer import Consumer
seek = Consumer.perform_seek
async def seek_slowly(consumer):
    await seek(consumer)
    await asyncio.sleep(0.3)
Consumer.perform_seek = seek_slowly
"""
"""What Faust fetches between this seek and its end would be lost but for the stopped flow; see `streams.drift.app`."""


@dataclass
class Workers:
    """Starts drift workers of one group and sees to it that none is left."""

    kafka: KafkaSettings
    log_dir: Path
    running: list["subprocess.Popen[bytes]"]
    idle_close_s: int = 8

    def start(self, slot: str = "drift-0", *, before: str = "") -> "subprocess.Popen[bytes]":
        """Start a worker; its log goes to a file of its slot."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("DEEPTRACE_")}
        environ |= {
            "DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "DEEPTRACE_KAFKA__DRIFT_GROUP": self.kafka.drift_group,
            "DEEPTRACE_KAFKA__PARTITIONS": str(self.kafka.partitions),
            "DEEPTRACE_KAFKA__INSTANCE_ID": slot,
            "DEEPTRACE_KAFKA__SESSION_TIMEOUT_S": "10",
            "DEEPTRACE_HTTP__DRIFT_PORT": "0",
            "DEEPTRACE_DRIFT__WINDOW_S": str(WINDOW_S),
            "DEEPTRACE_DRIFT__ALLOWED_LATENESS_S": str(LATENESS_S),
            "DEEPTRACE_DRIFT__IDLE_CLOSE_S": str(self.idle_close_s),
            "DEEPTRACE_DRIFT__MIN_IMAGES": "30",
            "DEEPTRACE_DRIFT__REFERENCE": REFERENCE,
        }
        with (self.log_dir / f"{slot}.log").open("ab") as log:
            worker = subprocess.Popen([sys.executable, "-c", before + WORKER], env=environ, stdout=log, stderr=log)
        self.running.append(worker)
        return worker

    def logs(self) -> str:
        """Return what the workers said."""
        return "\n".join(path.read_text() for path in sorted(self.log_dir.glob("*.log")))


@pytest.fixture
async def workers(stack: StackInfo, tmp_path: Path) -> Iterator[Workers]:
    """No worker yet; the topics are there. The group is shared by these tests, so that none reads the others' verdicts again."""
    kafka = KafkaSettings(bootstrap_servers=stack.bootstrap_servers, drift_group=GROUP, partitions=4)
    await apply(kafka)
    started = Workers(kafka, tmp_path, [])
    yield started
    for worker in started.running:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


def made_up_verdicts(
    count: int, tenants: Iterable[str], *, start: datetime, seconds: float, seed: int
) -> list[Verdict]:
    """Return verdicts in an order that is random within half the allowed lateness."""
    draw = random.Random(seed)
    names = list(tenants)
    verdicts = [
        verdict(draw.choice(names), start + timedelta(seconds=draw.uniform(0, seconds)), draw) for _ in range(count)
    ]
    return sorted(verdicts, key=lambda one: event_time(one) + timedelta(seconds=draw.uniform(0, LATENESS_S / 2)))


def verdict(tenant: str, at: datetime, draw: random.Random) -> Verdict:
    """Return one verdict with numbers that were made up."""
    weights = [draw.random() for _ in CLASSES]
    probs = {name: round(weight / sum(weights), 6) for name, weight in zip(CLASSES, weights, strict=True)}
    source = draw.choice([*CLASSES, None])
    return Verdict(
        outcome_id=outcome_id(tenant, str(draw.random())),
        image_id=uuid.UUID(int=draw.getrandbits(128)).hex,
        tenant=tenant,
        event_id="e",
        object=JudgedObject(bucket="b", key="k", sha256="0" * 64, size_bytes=1, format="JPEG", width=1, height=1),
        verdict="inconclusive" if source is None else "real" if source == "real" else "ai_generated",
        predicted_source=source,
        per_class_probs=probs,
        explanation=Explanation(status="skipped"),
        model=ModelStamp(
            version="m1",
            sha256="0" * 64,
            kind="fake",
            training_data="none",
            calibration_id="c",
            preprocess_id="p",
            classes=CLASSES,
        ),
        source=SourceRecord(topic="t", partition=0, offset=0, event_time=at, format="native"),
        timing=Timing(queue_ms=0, fetch_ms=0, decode_ms=0, infer_ms=0, overlay_ms=0, processing_ms=0, batch_size=1),
    )


def event_time(one: Verdict) -> datetime:
    """Return the event time, which every verdict here has."""
    assert one.source.event_time is not None
    return one.source.event_time


def recount(
    verdicts: Iterable[Verdict],
) -> dict[tuple[str, datetime], tuple[int, dict[str, int], int, dict[str, float]]]:
    """Return images, counts, undecided and probability sums by tenant and window start, counted the plain way."""
    images: Counter[tuple[str, datetime]] = Counter()
    undecided: Counter[tuple[str, datetime]] = Counter()
    counts: dict[tuple[str, datetime], Counter[str]] = {}
    sums: dict[tuple[str, datetime], Counter[str]] = {}
    for one in verdicts:
        start = datetime.fromtimestamp(event_time(one).timestamp() // WINDOW_S * WINDOW_S, UTC)
        window = one.tenant, start
        images[window] += 1
        counts.setdefault(window, Counter())
        if one.predicted_source is None:
            undecided[window] += 1
        else:
            counts[window][one.predicted_source] += 1
        sums.setdefault(window, Counter()).update(
            {name: round(p * 1_000_000) for name, p in (one.per_class_probs or {}).items()}
        )
    return {
        window: (n, dict(counts[window]), undecided[window], {name: x / 1_000_000 for name, x in sums[window].items()})
        for window, n in images.items()
    }


def said(
    summaries: Iterable[WindowSummary],
) -> dict[tuple[str, datetime], tuple[int, dict[str, int], int, dict[str, float]]]:
    """Return the same from published summaries."""
    return {(one.tenant, one.start): (one.images, one.counts, one.undecided, one.probability_sums) for one in summaries}


async def publish(kafka: KafkaSettings, verdicts: list[Verdict], *, per_second: float) -> None:
    """Publish in order, at about this rate, as the scoring worker does."""
    async with Producer(kafka, client_id="test") as producer:
        begun = time.monotonic()
        for at in range(0, len(verdicts), 50):
            await asyncio.gather(
                *(
                    producer.send(topics.VERDICTS, key=record_key(one.tenant, one.image_id), value=one.to_bytes())
                    for one in verdicts[at : at + 50]
                )
            )
            await asyncio.sleep(max(0.0, begun + at / per_second - time.monotonic()))


async def read_all(kafka: KafkaSettings, topic: str) -> list[tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]]:
    """Return key, value and headers of every record on a topic."""
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest") as consumer:
        partitions = [TopicPartition(topic, p) for p in range(kafka.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records = []
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                found = await consumer.getmany(partition, timeout_ms=1000)
                records += [(one.key, one.value, tuple(one.headers)) for one in found.get(partition, [])]
        return records


async def summaries_of(kafka: KafkaSettings, tenants: Iterable[str]) -> list[WindowSummary]:
    """Return all summaries published for these tenants, repeats included."""
    wanted = {tenant.encode() for tenant in tenants}
    return [WindowSummary.from_bytes(value) for key, value, _ in await read_all(kafka, topics.WINDOWS) if key in wanted]


async def said_bytes(kafka: KafkaSettings, tenants: Iterable[str]) -> set[tuple[bytes, tuple[tuple[str, bytes], ...]]]:
    """Return the different values and headers published for these tenants: repeats must not add any."""
    wanted = {tenant.encode() for tenant in tenants}
    return {(value, headers) for key, value, headers in await read_all(kafka, topics.WINDOWS) if key in wanted}


async def alerted(kafka: KafkaSettings, tenants: Iterable[str]) -> dict[str, float]:
    """Return the alerts for these tenants: the divergence by window."""
    alerts = [DriftAlert.from_bytes(value) for _, value, _ in await read_all(kafka, topics.DRIFT_ALERTS)]
    return {alert.window_id: alert.value for alert in alerts if alert.tenant in tenants}


async def wait_for_windows(
    workers: Workers, tenants: list[str], expected: int, *, timeout_s: float = 120
) -> list[WindowSummary]:
    """Return the summaries once so many different windows are there."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = await summaries_of(workers.kafka, tenants)
        if len({one.window_id for one in found}) >= expected:
            return found
        await asyncio.sleep(1)
    raise AssertionError(f"{len(found)} of {expected} windows; the workers said:\n{workers.logs()[-6000:]}")


async def end_of(kafka: KafkaSettings, topic: str) -> int:
    """Return how many records were ever written to a topic."""
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers) as consumer:
        return sum((await consumer.end_offsets([TopicPartition(topic, p) for p in range(kafka.partitions)])).values())


async def grown(workers: Workers, topic: str, until: int, *, timeout_s: float = 90) -> None:
    """Return once so many records were written to a topic."""
    deadline = time.monotonic() + timeout_s
    while await end_of(workers.kafka, topic) < until:
        assert time.monotonic() < deadline, f"{topic} does not grow; the workers said:\n{workers.logs()[-6000:]}"
        await asyncio.sleep(0.2)


def some_tenants() -> list[str]:
    """Return three tenants that no other test knows."""
    return [f"tenant-{uuid.uuid4().hex[:8]}" for _ in range(3)]


def an_hour_ago() -> datetime:
    """Return the start of the window of an hour ago."""
    return datetime.fromtimestamp((time.time() - 3600) // WINDOW_S * WINDOW_S, UTC)


async def test_windows_equal_a_recount(workers: Workers) -> None:
    """2,000 verdicts in random order within lateness, read as a backlog, give the summaries that counting them in one go gives, once each."""
    tenants = some_tenants()
    verdicts = made_up_verdicts(2000, tenants, start=an_hour_ago(), seconds=480, seed=1)
    expected = recount(verdicts)
    await publish(workers.kafka, verdicts, per_second=10_000)
    async with Producer(workers.kafka, client_id="test") as producer:
        for junk in (b"no verdict", None):
            await producer.send(topics.VERDICTS, key=b"junk", value=junk)
    written = await end_of(workers.kafka, drift_table_changelog(workers.kafka))
    worker = workers.start()
    found = await wait_for_windows(workers, tenants, len(expected))
    assert said(found) == expected
    assert len(found) == len(expected)
    assert sum(one.late for one in found) == 0
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 30) == 0, workers.logs()[-3000:]
    written = await end_of(workers.kafka, drift_table_changelog(workers.kafka)) - written
    assert written <= len(verdicts) / 16
    assert await alerted(workers.kafka, tenants) == {one.window_id: one.kl_current_reference_nats for one in found}
    assert workers.logs().count('"event": "skipped"') == 2


async def test_two_kills_change_nothing(workers: Workers) -> None:
    """The same with the worker killed twice in the middle, on a slow broker: every count is exact, and repeats are byte-identical."""
    tenants = some_tenants()
    verdicts = made_up_verdicts(2000, tenants, start=an_hour_ago(), seconds=480, seed=2)
    expected = recount(verdicts)
    before = await end_of(workers.kafka, topics.OBSERVATIONS)
    worker = workers.start(before=ON_A_SLOW_BROKER)
    publishing = asyncio.create_task(publish(workers.kafka, verdicts, per_second=100))
    for share in (0.25, 0.6):
        written = await end_of(workers.kafka, drift_table_changelog(workers.kafka))
        await grown(workers, topics.OBSERVATIONS, before + int(share * len(verdicts)))
        await grown(workers, drift_table_changelog(workers.kafka), written + 4)
        worker.kill()
        worker.wait()
        worker = workers.start(before=ON_A_SLOW_BROKER)
    await publishing
    found = await wait_for_windows(workers, tenants, len(expected))
    assert said(found) == expected
    assert sum(one.late for one in found) == 0
    assert len(await said_bytes(workers.kafka, tenants)) == len(expected)


async def test_another_worker_takes_over(workers: Workers) -> None:
    """Two workers share the tenants; when one is killed, the other goes on with its windows where it stood."""
    workers.idle_close_s = (
        25  # longer than the group needs to notice a death: its partitions are read by nobody until then
    )
    tenants = some_tenants()
    verdicts = made_up_verdicts(1500, tenants, start=an_hour_ago(), seconds=480, seed=3)
    expected = recount(verdicts)
    before = await end_of(workers.kafka, topics.OBSERVATIONS)
    first = workers.start("drift-0")
    publishing = asyncio.create_task(publish(workers.kafka, verdicts, per_second=100))
    await grown(workers, topics.OBSERVATIONS, before + 200)
    workers.start("drift-1")
    await grown(workers, topics.OBSERVATIONS, before + 1000)
    first.kill()
    first.wait()
    await publishing
    found = await wait_for_windows(workers, tenants, len(expected))
    assert said(found) == expected
    assert sum(one.late for one in found) == 0
    assert len(await said_bytes(workers.kafka, tenants)) == len(expected)


async def test_without_its_changelog_a_worker_refuses_to_start(workers: Workers) -> None:
    """Faust would go on without a table and lose every window at the next restart; the worker exits with 78 and says what to do."""
    workers.kafka = workers.kafka.model_copy(update={"drift_group": "drift-without-topics"})
    worker = workers.start()
    assert await asyncio.to_thread(worker.wait, 60) == 78
    assert "missing topics: drift-without-topics-windows-changelog" in workers.logs()
    assert "deeptrace topics apply" in workers.logs()
