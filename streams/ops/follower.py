"""Follows a topic for the page: all partitions, no group, nothing committed, from the history on, and slowly enough to be in nobody's way."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError

from schemas.errors import DeepTraceError, TopicMissing
from schemas.incoming import Record, kafka_time
from streams.broker_errors import REFUSALS, not_permitted, unreachable
from streams.deadline import ends_within
from streams.kafka_security import client_options
from streams.lenient_headers import read_leniently
from streams.ops.attention import Attention
from streams.ops.feed import Feed
from streams.settings import KafkaSettings
from streams.topics import partition_counts

BATCH: Final = 250
POLL_MS: Final = 500
REST: Final = 3.0
"""While it reads what is there already it rests so many times as long as it worked: a quarter of the loop at most is taken from the windows."""
AGAIN_FIRST_S, AGAIN_LAST_S = 1.0, 30.0
LEAVE_S: Final = 2.0
FETCH_BYTES: Final = 256 * 1024

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Followed:
    """A topic, and how much of what it holds is read: of the history at most the last `most` records of all partitions together.

    One that is followed `only_looked_at` costs nothing while nobody has the page open.
    """

    topic: str
    most: int | None = None
    only_looked_at: bool = False


class Follower:
    """Keeps the feed in step with one topic, for good. It bears what the broker does: it says so on the page, waits, and goes on where it was."""

    def __init__(self, settings: KafkaSettings, followed: Followed, feed: Feed, attention: Attention) -> None:
        self._settings = settings
        self._followed = followed
        self._feed = feed
        self._attention = attention
        self._next: dict[int, int] = {}  # by partition: the offset to go on with

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        wait_s = AGAIN_FIRST_S
        while True:
            try:
                await self._attended()
                await self._follow()
                wait_s = AGAIN_FIRST_S
                continue
            except DeepTraceError as error:
                why = f"{error.message}: {error.why}" if error.why else error.message
            except Exception as error:  # whatever it is, the page must not end the worker
                why = type(error).__name__
                log.warning("the ops page cannot read", topic=self._followed.topic, error=why, exc_info=error)
            self._feed.waiting(self._followed.topic, why)
            await asyncio.sleep(wait_s)
            wait_s = min(AGAIN_LAST_S, 2 * wait_s)

    async def _attended(self) -> None:
        if self._followed.only_looked_at:
            await self._attention.given()

    async def _follow(self) -> None:
        """Read until nobody looks any more."""
        # Asked of all topics: a request that names one may create it. See DECISIONS.md.
        partitions = (await partition_counts(self._settings)).get(self._followed.topic)
        if partitions is None:
            raise TopicMissing(
                f"missing topic: {self._followed.topic}",
                why="it is not there, or this user may not see it",
                remedy="Run `deeptrace topics apply`; `deeptrace topics acls drift` prints the rights.",
            )
        read_leniently()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.bootstrap_servers,
            client_id="deeptrace-ops",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
            **client_options(self._settings),
        )
        try:
            await self._start(consumer, partitions)
            self._feed.waiting(self._followed.topic, None)
            while not self._followed.only_looked_at or self._attention.is_given:
                found = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH)
                began = time.monotonic()
                for place, records in found.items():
                    for record in records:
                        self._feed.take(_record(record))
                    self._next[place.partition] = records[-1].offset + 1
                if found:
                    self._feed.heard()
                    await asyncio.sleep(REST * (time.monotonic() - began))
        except REFUSALS as error:
            raise not_permitted(error, f"read {self._followed.topic}", self._settings) from error
        finally:
            await ends_within(consumer.stop(), LEAVE_S)

    async def _start(self, consumer: Any, partitions: int) -> None:
        try:
            await consumer.start()
        except (KafkaConnectionError, TimeoutError) as error:
            raise await unreachable(self._settings) from error
        places = {number: TopicPartition(self._followed.topic, number) for number in range(partitions)}
        consumer.assign(list(places.values()))
        for number, start in (await self._starts(consumer, places)).items():
            consumer.seek(places[number], start)

    async def _starts(self, consumer: Any, places: Mapping[int, TopicPartition]) -> dict[int, int]:
        """Return where to begin in each partition: where it was, or where the history begins, but not further back than `most` records."""
        since_ms = self._feed.now_ms - self._feed.history_ms
        begins = await consumer.beginning_offsets(list(places.values()))
        ends = await consumer.end_offsets(list(places.values()))
        at = await consumer.offsets_for_times(dict.fromkeys(places.values(), max(0, since_ms)))
        starts = {}
        for number, place in places.items():
            by_time = found.offset if (found := at.get(place)) is not None else ends[place]
            starts[number] = min(ends[place], max(begins[place], self._next.get(number, by_time)))
        if self._followed.most is None:
            return starts
        share = max(1, self._followed.most // len(places))
        short = {number: max(start, ends[places[number]] - share) for number, start in starts.items()}
        if short != starts:
            log.info("the ops page leaves out a backlog", topic=self._followed.topic)
            self._feed.left_out(self._followed.topic)
        return short


def _record(record: Any) -> Record:
    return Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        timestamp=kafka_time(record.timestamp / 1000),
    )
