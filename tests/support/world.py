"""A broker and a store of one's own, workers as real processes, and a count of the topics that shares no code with the worker."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord
from PIL import Image

from storage.minio_store import MinioStore
from streams import topics
from streams.settings_sources import load
from streams.stack.local_stack import LocalStack

IMAGES, VERDICTS, LETTERS = "deeptrace.images.v1", "deeptrace.verdicts.v1", "deeptrace.images.v1.dlq"
BUCKET = "deeptrace-images"


def picture(seed: int, side: int = 96) -> bytes:
    """Return a small PNG of noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


@dataclass
class Count:
    """What lies on the topics, by the ce_id of the reference."""

    accepted: dict[str, tuple[int, int]] = field(default_factory=dict)
    outcomes: dict[str, list[tuple[str, bytes]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def missing(self):
        return self.accepted.keys() - self.outcomes.keys()

    @property
    def both(self):
        return {i for i, found in self.outcomes.items() if len({kind for kind, _ in found}) > 1}

    @property
    def several_ids(self):
        return {i for i, found in self.outcomes.items() if len({outcome for _, outcome in found}) > 1}

    def kinds(self, kind):
        return {i for i, found in self.outcomes.items() if any(k == kind for k, _ in found)}


class World:
    """A fresh stack with topics and buckets."""

    def __init__(
        self, folder: Path, partitions: int = 4, store: str = "s3proxy", retry_delays_s: tuple[float, ...] = ()
    ) -> None:
        self.folder = folder
        self.stack = LocalStack(folder / "stack", store=store)
        self.info = self.stack.up()
        self.env = {
            "DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS": self.info.bootstrap_servers,
            "DEEPTRACE_KAFKA__PARTITIONS": str(partitions),
            "DEEPTRACE_KAFKA__RETRY_DELAYS_S": json.dumps(retry_delays_s),
            "DEEPTRACE_STORE__ENDPOINT": self.info.s3_endpoint,
            "DEEPTRACE_STORE__ACCESS_KEY": self.info.s3_access_key,
            "DEEPTRACE_STORE__SECRET_KEY": self.info.s3_secret_key,
            "DEEPTRACE_MODEL__CLASSIFIER": "fake",
            "DEEPTRACE_HTTP__PORT": "0",
            "DEEPTRACE_HTTP__DRIFT_PORT": "0",
        }
        self.settings = load(self.env).settings
        asyncio.run(topics.apply(self.settings.kafka))
        self.store = MinioStore(
            self.info.s3_endpoint,
            access_key=self.info.s3_access_key,
            secret_key=self.info.s3_secret_key,
            secure=False,
            allowed_buckets={BUCKET, "deeptrace-overlays", "deeptrace-outcomes"},
        )
        self.store.ensure_bucket(BUCKET)
        self.store.ensure_bucket("deeptrace-overlays")
        self.store.ensure_bucket("deeptrace-outcomes")
        self.children: list[subprocess.Popen[bytes]] = []

    def signal_store(self, signum: int) -> None:
        """Signal the S3 server, to pause it and let it go on."""
        os.kill(self.info.store_pid, signum)

    def signal_broker(self, signum: int) -> None:
        """Signal the Kafka broker."""
        os.kill(self.info.broker_pid, signum)

    def put(self, key: str, data: bytes) -> None:
        self.store.put(BUCKET, key, data, content_type="image/png", deadline_s=10)

    def start(self, *command: str, log: str = "worker.log", **env: str) -> subprocess.Popen[bytes]:
        """Start a Python process in this world; its output is appended to a log in the world's folder."""
        with (self.folder / log).open("ab") as out:
            child = subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, **self.env, **env},
                stdout=out,
                stderr=out,
                cwd=self.folder,
            )
        self.children.append(child)
        return child

    def run(self, *arguments: str, timeout_s: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `deeptrace` with arguments to its end."""
        return subprocess.run(
            [sys.executable, "-m", "streams.cli", *arguments],
            env={**os.environ, **self.env, **env},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def worker(self, slot: str = "slot-0", **env: str) -> subprocess.Popen[bytes]:
        """Start `deeptrace worker` in a slot of the group."""
        return self.start("-m", "streams.cli", "worker", DEEPTRACE_KAFKA__INSTANCE_ID=slot, **env)

    async def publish(self, records: list[tuple[bytes, list[tuple[str, bytes]]]]) -> None:
        """Publish raw values with headers, spread over the partitions."""
        async with AIOKafkaProducer(bootstrap_servers=self.info.bootstrap_servers, acks="all", linger_ms=5) as producer:
            futures = [
                await producer.send(IMAGES, value, key=str(n).encode(), headers=headers)
                for n, (value, headers) in enumerate(records)
            ]
            await asyncio.gather(*futures)

    async def count(self) -> Count:
        """Read the three topics from their beginning to their end, with a plain consumer."""
        count = Count()
        consumer = AIOKafkaConsumer(
            IMAGES, VERDICTS, LETTERS, bootstrap_servers=self.info.bootstrap_servers, auto_offset_reset="earliest"
        )
        async with consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        _tally(count, record)
        return count

    async def records(self, *of_topics: str) -> list[ConsumerRecord]:
        """Read whole topics, as they are now, in the order in which each partition holds them."""
        found = []
        async with AIOKafkaConsumer(
            *of_topics, bootstrap_servers=self.info.bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
        return found

    async def wait_for_outcomes(self, wanted: int, timeout_s: float) -> None:
        """Wait until the two outcome topics hold at least `wanted` records."""
        consumer = AIOKafkaConsumer(VERDICTS, LETTERS, bootstrap_servers=self.info.bootstrap_servers)
        deadline = time.monotonic() + timeout_s
        async with consumer:
            while True:
                ends = await consumer.end_offsets(consumer.assignment())
                if sum(ends.values()) >= wanted:
                    return
                if time.monotonic() > deadline or all(child.poll() is not None for child in self.children):
                    logs = "\n".join(path.read_text()[-3000:] for path in self.folder.glob("*.log"))
                    pytest.fail(f"{sum(ends.values())} of {wanted} outcomes after {timeout_s} s\n{logs}")
                await asyncio.sleep(0.05)

    async def wait_for_all(self, timeout_s: float) -> Count:
        """Wait until every accepted reference has an outcome; return the count, complete or not, at the latest after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while (count := await self.count()).missing and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        return count

    async def committed(self, group: str) -> dict[int, int]:
        """Return the group's committed offset of each partition of the images topic."""
        async with AIOKafkaConsumer(
            bootstrap_servers=self.info.bootstrap_servers, group_id=group, enable_auto_commit=False
        ) as consumer:
            partitions = range(self.settings.kafka.partitions)
            return {p: await consumer.committed(TopicPartition(IMAGES, p)) or 0 for p in partitions}

    async def settled(self, quiet_s: float, timeout_s: float) -> None:
        """Wait until no outcome has come for `quiet_s`."""
        consumer = AIOKafkaConsumer(VERDICTS, LETTERS, bootstrap_servers=self.info.bootstrap_servers)
        start = changed = time.monotonic()
        total = -1
        async with consumer:
            while time.monotonic() - changed < quiet_s and time.monotonic() - start < timeout_s:
                now = sum((await consumer.end_offsets(consumer.assignment())).values())
                if now != total:
                    total, changed = now, time.monotonic()
                await asyncio.sleep(0.2)

    def close(self) -> None:
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.wait()
        self.signal_store(signal.SIGCONT)
        self.store.close()
        self.stack.down()


def _tally(count, record):
    headers = dict(record.headers)
    if record.topic == IMAGES:
        count.accepted[headers.get("ce_id", b"").decode() or f"at {record.partition}:{record.offset}"] = (
            record.partition,
            record.offset,
        )
    elif record.topic == VERDICTS:
        verdict = json.loads(record.value)
        count.outcomes[verdict["event_id"]].append(("verdict", headers["ce_id"]))
    else:
        count.outcomes[headers["ce_id"].decode()].append(("dead letter", headers.get("dt-outcome-id", b"")))


def native(event_id: str, key: str, **fields) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return a reference as a producer in any language writes it."""
    body = {
        "event_id": event_id,
        "image_id": f"image-{event_id}",
        "object": {"bucket": BUCKET, "key": key},
        "want": {"overlay": "never"},
        **fields,
    }
    return json.dumps(body).encode(), ce(event_id)


def ce(event_id: str) -> list[tuple[str, bytes]]:
    """Return the CloudEvents headers of a reference."""
    attributes = {"id": event_id, "source": "/test", "type": "deeptrace.image.v1", "specversion": "1.0"}
    return [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
