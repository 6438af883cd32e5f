"""Drift workers as processes of their own, and verdicts that were made up for them."""

import asyncio
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import topics
from schemas.errors import BrokerUnavailable
from schemas.identity import outcome_id
from schemas.observations import UNIT
from schemas.topics import record_key
from schemas.verdict import Explanation, JudgedObject, ModelStamp, SourceRecord, Timing, Verdict
from schemas.window import DriftAlert, WindowSummary
from streams.producer import Producer
from streams.settings import KafkaSettings

WINDOW_S = 60
WINDOWS = '["60s", "5m", "4m/2m"]'
LATENESS_S = 30
CLASSES = ("real", "flux", "midjourney")
REFERENCE = '{"real": 0.8, "flux": 0.1, "midjourney": 0.1}'
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
    windows: str = WINDOWS

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
            "DEEPTRACE_DRIFT__WINDOWS": self.windows,
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
    """Return images, counts, undecided and probability sums by tenant and start of the shortest window, counted the plain way."""
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
            {name: round(p * UNIT) for name, p in (one.per_class_probs or {}).items()}
        )
    return {
        window: (
            n,
            dict(counts[window]),
            undecided[window],
            {name: round(x / UNIT, 6) for name, x in sums[window].items()},
        )
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
            await asyncio.gather(*(_sent(producer, one) for one in verdicts[at : at + 50]))
            await asyncio.sleep(max(0.0, begun + at / per_second - time.monotonic()))


async def _sent(producer: Producer, one: Verdict) -> None:
    """Send one verdict, again while the broker is away."""
    while True:
        try:
            return await producer.send(topics.VERDICTS, key=record_key(one.tenant, one.image_id), value=one.to_bytes())
        except BrokerUnavailable:
            await asyncio.sleep(0.5)


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
    """Return all summaries of the shortest window published for these tenants, repeats included."""
    wanted = {tenant.encode() for tenant in tenants}
    found = [
        WindowSummary.from_bytes(value) for key, value, _ in await read_all(kafka, topics.WINDOWS) if key in wanted
    ]
    return [one for one in found if one.window == "60s"]


async def said_bytes(kafka: KafkaSettings, tenants: Iterable[str]) -> set[tuple[bytes, tuple[tuple[str, bytes], ...]]]:
    """Return the different values and headers of the shortest window published for these tenants: repeats must not add any."""
    wanted = {tenant.encode() for tenant in tenants}
    return {
        (value, headers)
        for key, value, headers in await read_all(kafka, topics.WINDOWS)
        if key in wanted and b'"window":"60s"' in value
    }


async def alerted(kafka: KafkaSettings, tenants: Iterable[str]) -> set[tuple[str, str | None]]:
    """Return tenant and episode of the alerts on the shortest windows of these tenants; each is raised once."""
    alerts = [DriftAlert.from_bytes(value) for _, value, _ in await read_all(kafka, topics.DRIFT_ALERTS)]
    raised = [one for one in alerts if one.tenant in tenants and one.window == "60s" and one.state == "raised"]
    assert len({one.episode_id for one in raised}) == len(raised)
    return {(one.tenant, one.episode_id) for one in raised}


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
