"""Follows the outcome topics with a plain consumer, live: what each reference got, how often, and whether it was the same each time."""

import asyncio
import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from schemas.topics import DEAD_LETTERS, VERDICTS

POLL_MS = 200


@dataclass(slots=True)
class Seen:
    """What was published for one reference."""

    kinds: set[str] = field(default_factory=set)
    records: set[bytes] = field(default_factory=set)
    count: int = 0
    sha256: str | None = None
    code: str | None = None


class Watch:
    """Reads verdicts and dead letters from their beginning, without a group, over broker restarts, until it is stopped."""

    def __init__(self, bootstrap: str, observe: Callable[[str, float], None] = lambda _id, _now: None) -> None:
        self.seen: dict[str, Seen] = {}
        self.unnamed = 0
        self.records = 0
        self.keep = False
        self.verdicts: dict[str, dict[str, Any]] = {}
        """The first verdict of each reference, where `keep` is set."""
        self._bootstrap = bootstrap
        self._observe = observe
        self._task: asyncio.Task[None] | None = None
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Follow from now on, in the background."""
        self._consumer = AIOKafkaConsumer(
            VERDICTS,
            DEAD_LETTERS,
            bootstrap_servers=self._bootstrap,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
            metadata_max_age_ms=5_000,
        )
        await self._consumer.start()
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._consumer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._consumer.stop(), 10)

    async def caught_up(self, timeout_s: float = 60) -> None:
        """Return once everything that is on the topics now has been read."""
        assert self._consumer is not None
        consumer = self._consumer
        async with asyncio.timeout(timeout_s):
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(partition) < end for partition, end in ends.items()]):
                await asyncio.sleep(0.1)

    @property
    def repeats(self) -> int:
        """How many records were published beyond the first of each reference."""
        return self.records - len(self.seen)

    @property
    def both(self) -> list[str]:
        """References with a verdict and a dead letter."""
        return [name for name, seen in self.seen.items() if len(seen.kinds) > 1]

    @property
    def not_identical(self) -> list[str]:
        """References whose records of one kind differ."""
        return [name for name, seen in self.seen.items() if len(seen.records) > len(seen.kinds)]

    def codes(self) -> Counter[str]:
        """Return the dead letters by code, each reference once."""
        return Counter(seen.code for seen in self.seen.values() if seen.code is not None)

    async def _follow(self) -> None:
        assert self._consumer is not None
        while True:
            try:
                found = await self._consumer.getmany(timeout_ms=POLL_MS)
            except KafkaError:
                await asyncio.sleep(POLL_MS / 1000)  # the broker is away, as some case wants it
                continue
            now = time.monotonic()
            for records in found.values():
                for record in records:
                    self._read(record, now)

    def _read(self, record: object, now: float) -> None:
        headers = {name: value or b"" for name, value in record.headers}
        verdict = record.topic == VERDICTS
        name = headers.get("ce_id" if verdict else "dt-outcome-id", b"").decode()
        self.records += 1
        if not name:
            self.unnamed += 1
        seen = self.seen.setdefault(name, Seen())
        seen.count += 1
        seen.kinds.add("verdict" if verdict else "dead letter")
        if len(seen.records) < 4:
            seen.records.add(_digest(record))
        if verdict and seen.sha256 is None:
            content = orjson.loads(record.value)
            seen.sha256 = content.get("object", {}).get("sha256")
            if self.keep:
                self.verdicts[name] = content
        elif not verdict and seen.code is None:
            seen.code = headers.get("dt-error-code", b"").decode()
        self._observe(name, now)


def _digest(record: object) -> bytes:
    """Hash what must not differ between repeats: topic, key, value and headers with their order."""
    digest = hashlib.sha256()
    parts = [record.topic.encode(), record.key, record.value]
    for name, value in record.headers:
        parts += [name.encode(), value]
    for part in parts:
        digest.update(b"\xff" if part is None else len(part).to_bytes(4, "big") + part)
    return digest.digest()
