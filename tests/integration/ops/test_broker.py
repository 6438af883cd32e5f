"""The page against a real broker and a real store: from the topics to the browser, through an outage, and back."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client import CollectorRegistry
from support import ops_sample as sample
from support.chromium import Tab
from support.verdicts import verdict

from schemas import topics
from schemas.incoming import Record
from schemas.verdict import JudgedObject
from storage.minio_store import MinioStore
from streams.http import HealthServer
from streams.ops.attention import Attention
from streams.ops.companion import OpsPage
from streams.ops.feed import Feed
from streams.ops.follower import Followed, Follower
from streams.settings import KafkaSettings, Settings
from streams.settings_sources import load
from streams.stack.local_stack import LocalStack, StackInfo
from streams.topics import apply

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STATUS = "document.getElementById('status')?.textContent"
FIGURES = "document.getElementById('figures')?.innerText || ''"


@dataclass
class Running:
    """The companion on a broker and a store of its own."""

    info: StackInfo
    settings: Settings
    url: str


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """A broker that may be stopped, a store with one picture, and the companion behind the worker's HTTP server."""
    local = LocalStack(tmp_path / "stack", store="s3proxy")
    info = await asyncio.to_thread(local.up)
    settings = load(
        {
            "DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS": info.bootstrap_servers,
            "DEEPTRACE_KAFKA__PARTITIONS": "2",
            "DEEPTRACE_STORE__ENDPOINT": info.s3_endpoint,
            "DEEPTRACE_STORE__ACCESS_KEY": info.s3_access_key,
            "DEEPTRACE_STORE__SECRET_KEY": info.s3_secret_key,
        }
    ).settings
    await apply(settings.kafka)
    await asyncio.to_thread(put_picture, info)
    page = OpsPage(settings)
    http = HealthServer(host="127.0.0.1", port=0, registry=CollectorRegistry(), readiness={}, routes=[page.routes])
    await http.start()
    await page.start()
    yield Running(info, settings, f"http://127.0.0.1:{http.port}")
    os.kill(info.broker_pid, signal.SIGCONT)
    await page.stop()
    await http.stop()
    await asyncio.to_thread(local.down)


def put_picture(info: StackInfo) -> None:
    """Store one image where verdicts of this test say that it lies."""
    store = MinioStore(
        info.s3_endpoint,
        access_key=info.s3_access_key,
        secret_key=info.s3_secret_key,
        secure=False,
        allowed_buckets={sample.IMAGES_BUCKET},
    )
    store.ensure_bucket(sample.IMAGES_BUCKET)
    store.put(sample.IMAGES_BUCKET, "a.jpg", sample.some_picture(5), content_type="image/jpeg", deadline_s=10)
    store.close()


async def publish(kafka: KafkaSettings, records: Iterable[Record]) -> None:
    """Write records to their topics, with the time that they have."""
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all") as producer:
        sent = [
            await producer.send(
                one.topic,
                one.value,
                key=str(one.offset).encode(),
                headers=list(one.headers),
                timestamp_ms=round(one.timestamp.timestamp() * 1000),
            )
            for one in records
        ]
        await asyncio.gather(*sent)


async def test_from_the_topics_to_the_browser_through_an_outage(running: Running, browser: Tab) -> None:
    """A drift that was there before, a picture from the store, a window that comes later; then the broker hangs and comes back.

    While it hangs the page says since when, and shows what it knew; afterwards it goes on by itself. It joined no group.
    """
    now = datetime.now(UTC)
    drifted = sample.window(now - timedelta(minutes=30), ai=0.3, drifting=True)
    judged = JudgedObject(
        bucket=sample.IMAGES_BUCKET, key="a.jpg", sha256="0" * 64, size_bytes=1, format="JPEG", width=9, height=9
    )
    before = [
        sample.record(topics.WINDOWS, drifted.to_bytes(), now),
        sample.record(topics.DRIFT_ALERTS, sample.alert(drifted).to_bytes(), now),
        sample.record(topics.VERDICTS, verdict(1, image_id="upload-1", object=judged).to_bytes(), now),
        sample.letter("image_truncated", now),
    ]
    await publish(running.settings.kafka, before)
    await browser.open(running.url)
    await browser.until(f"({FIGURES}).includes('drifting')")
    await browser.until("document.getElementById('verdicts').innerText.includes('upload-1')")
    await browser.until("document.getElementById('letters').innerText.includes('image_truncated')")
    await browser.until("document.querySelector('#verdicts img')?.naturalWidth === 192")
    await browser.until(f"/Scoring lag\\s+0\\s+nothing waits/.test({FIGURES})")

    steady = sample.window(now - timedelta(minutes=20), ai=0.02)
    await publish(running.settings.kafka, [sample.record(topics.WINDOWS, steady.to_bytes(), now)])
    await browser.until(f"({FIGURES}).includes('steady')")

    os.kill(running.info.broker_pid, signal.SIGSTOP)
    await browser.until(f"{STATUS} === 'The broker does not answer.'", timeout_s=120)
    assert "No news from the broker since" in await browser.run("document.getElementById('notices').innerText")
    assert "steady" in await browser.run(FIGURES)
    os.kill(running.info.broker_pid, signal.SIGCONT)
    await browser.until(f"{STATUS} === 'Live.'", timeout_s=120)
    again = sample.window(now - timedelta(minutes=10), ai=0.3, drifting=True)
    await publish(running.settings.kafka, [sample.record(topics.WINDOWS, again.to_bytes(), now)])
    await browser.until(f"({FIGURES}).includes('drifting')", timeout_s=120)

    assert browser.console == []
    assert all(url.startswith((running.url, "data:")) for url in browser.requests)
    assert await groups(running.settings.kafka) == []


async def groups(kafka: KafkaSettings) -> list[str]:
    """Return the consumer groups that the broker knows."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        return [name for name, *_ in await admin.list_consumer_groups()]
    finally:
        await admin.close()


async def followed(stack: StackInfo, feed: Feed, attention: Attention, one: Followed) -> Follower:
    """Return a follower of a topic of that stack."""
    return Follower(KafkaSettings(bootstrap_servers=stack.bootstrap_servers), one, feed, attention)


async def until(condition, timeout_s: float = 60) -> None:
    """Wait until something is so."""
    ends_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends_at, "it never was so"
        await asyncio.sleep(0.05)


async def test_a_backlog_is_cut_and_nothing_is_read_twice(stack: StackInfo) -> None:
    """Of 100 verdicts at most 40 are read, and the page says so; what comes while nobody looks is read when somebody does, once."""
    kafka = KafkaSettings(bootstrap_servers=stack.bootstrap_servers, partitions=2)
    await apply(kafka)
    now = datetime.now(UTC)
    feed = Feed(history_ms=3_600_000, latest_verdicts=500, clock=time.time)
    clock = [0.0]
    attention = Attention(lambda: clock[0])
    follower = await followed(stack, feed, attention, Followed(topics.VERDICTS, 40, only_looked_at=True))
    old = [sample.record(topics.VERDICTS, verdict(n).to_bytes(), now - timedelta(days=1)) for n in range(100)]
    new = [sample.record(topics.VERDICTS, verdict(1000 + n).to_bytes(), now) for n in range(100)]
    await publish(kafka, old + new)
    running = asyncio.create_task(follower.run())
    try:
        attention.give()
        await until(lambda: feed.cut == {topics.VERDICTS} and counted(feed) >= 30)
        seen = counted(feed)
        assert seen <= 40
        clock[0] = 10_000.0  # nobody looks any more
        await asyncio.sleep(1.5)  # it notices after its next poll
        await publish(kafka, [sample.record(topics.VERDICTS, verdict(2000 + n).to_bytes(), now) for n in range(10)])
        attention.give()
        await until(lambda: counted(feed) == seen + 10)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def counted(feed: Feed) -> int:
    """Return how many verdicts were counted."""
    return sum(sum(point["verdicts"].values()) for point in feed.rates.points(0, feed.now_ms + 1, 60_000))


async def test_a_missing_topic_is_said_and_waited_for(stack: StackInfo) -> None:
    """Without the topic the page says what to do; once it is there it is read."""
    kafka = KafkaSettings(bootstrap_servers=stack.bootstrap_servers, partitions=1)
    feed = Feed(history_ms=3_600_000, latest_verdicts=5, clock=time.time)
    follower = await followed(stack, feed, Attention(), Followed("deeptrace.none.v1"))
    running = asyncio.create_task(follower.run())
    try:
        await until(lambda: "missing topic" in feed.waits.get("deeptrace.none.v1", ""))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert "deeptrace.none.v1" not in await names(kafka)


async def names(kafka: KafkaSettings) -> list[str]:
    """Return the broker's topics: looking must not have created any."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        return list(await admin.list_topics())
    finally:
        await admin.close()
