"""The verdicts of the past on the broker: read in a group of one's own, up to an end that was fixed at the first run.

Partitions are taken, not joined for: one process does a replay, and a group without members accepts its commits. Who goes on with a replay that
another process still runs sees that one's marks change.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    BrokerNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    KafkaUnavailableError,
)

from schemas import topics
from schemas.errors import BrokerUnavailable, CheckFailed, DeepTraceError, DependencyDownTooLong
from schemas.incoming import Record
from streams.broker_errors import REFUSALS, not_permitted, unreachable
from streams.deadline import ends_within
from streams.kafka_security import client_options
from streams.lenient_headers import read_leniently
from streams.rescoring.counts import Places
from streams.rescoring.past import Spans
from streams.rescoring.selection import Selection
from streams.rescoring.terms import SKEW, read_mark
from streams.settings import KafkaSettings
from streams.topic_reader import record_of

AT_ONCE: Final = 500
POLL_MS: Final = 500
LEAVE_S: Final = 5.0
COORDINATOR_TRIES: Final = 20
COORDINATOR_WAIT_S: Final = 0.5
AWAY: Final = (
    BrokerNotAvailableError,
    KafkaTimeoutError,
    KafkaUnavailableError,
)  # not marked retriable in aiokafka 0.14
TOPIC: Final = topics.VERDICTS

Answer = TypeVar("Answer")


class History:
    """One connection, for one replay. Whatever fails in it is raised as BrokerUnavailable, or as a ConfigError for a person to mend."""

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._settings = settings
        self.group = group
        common: dict[str, Any] = {
            "bootstrap_servers": settings.bootstrap_servers,
            "client_id": group,
            "request_timeout_ms": int(settings.request_timeout_s * 1000),
            **client_options(settings),
        }
        read_leniently()
        self._admin = AIOKafkaAdminClient(**common)
        self._consumer = AIOKafkaConsumer(
            **common,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # where retention was faster than we: what is gone is gone
        )

    async def start(self) -> None:
        """Connect. Raises BrokerUnavailable, ConfigError."""
        async with self._said("read verdicts"):
            await self._admin.start()
            await self._consumer.start()
            self._consumer.assign([TopicPartition(TOPIC, number) for number in await self._numbers()])

    async def marks(self) -> Places:
        """Return how far each partition has come; none where the replay was never begun.

        Raises:
            CheckFailed: something else commits in this group.
            BrokerUnavailable
        """
        asked = sorted(self._consumer.assignment())
        async with self._said(f"describe the group {self.group}"):
            answer = await _patiently(lambda: self._admin.list_consumer_group_offsets(self.group, partitions=asked))
        if set(asked) - answer.keys():  # aiokafka 0.14 drops an error that concerns the whole group
            raise BrokerUnavailable(f"the broker does not say what the group {self.group} has committed")
        found = {tp.partition: at for tp, at in answer.items() if at.offset >= 0}
        return {number: (at.offset, read_mark(self.group, at.metadata)) for number, at in found.items()}

    async def spans(self, selection: Selection) -> Spans:
        """Return the offsets to be read of each partition: to its present end, from its beginning, or from where `selection` may begin."""
        async with self._said("read verdicts"):
            partitions = self._consumer.assignment()
            begins = await self._consumer.beginning_offsets(partitions)
            ends = await self._consumer.end_offsets(partitions)
            if selection.since is not None:
                # No verdict is written before its image is uploaded, but for clocks that differ.
                millis = max(0, int((selection.since - SKEW).timestamp() * 1000))
                found = await self._consumer.offsets_for_times(dict.fromkeys(partitions, millis))
                begins = {tp: ends[tp] if found[tp] is None else found[tp].offset for tp in partitions}
        return {tp.partition: (begins[tp], ends[tp]) for tp in sorted(partitions)}

    async def beginnings(self) -> dict[int, int]:
        """Return the first offset of each partition that is still there. Raises BrokerUnavailable."""
        async with self._said("read verdicts"):
            begins = await self._consumer.beginning_offsets(self._consumer.assignment())
        return {tp.partition: offset for tp, offset in begins.items()}

    async def read(self, spans: Spans, *, patience_s: float) -> AsyncGenerator[tuple[int, list[Record]], None]:
        """Yield the records within `spans` (end excluded), a few of one partition at a time; an empty list once a partition is read out.

        Raises:
            DependencyDownTooLong: nothing came for `patience_s`, though there is something.
        """
        left = {TopicPartition(TOPIC, number): end for number, (begin, end) in spans.items() if begin < end}
        for number in spans.keys() - {tp.partition for tp in left}:
            yield number, []
        for tp in self._consumer.assignment():
            self._consumer.pause(tp)
        for tp in left:
            self._consumer.seek(tp, spans[tp.partition][0])
            self._consumer.resume(tp)
        loop = asyncio.get_running_loop()
        moved_at, before = loop.time(), dict[Any, int]()
        while left:
            async with self._said("read verdicts"):
                fetched = await self._consumer.getmany(*left, timeout_ms=POLL_MS, max_records=AT_ONCE)
                positions = {tp: await self._consumer.position(tp) for tp in left}
            for tp, records in fetched.items():
                if inside := [record_of(record) for record in records if record.offset < left[tp]]:
                    yield tp.partition, inside
            for tp in [tp for tp, position in positions.items() if position >= left[tp]]:
                self._consumer.pause(tp)
                del left[tp]
                yield tp.partition, []
            if positions != before:
                moved_at, before = loop.time(), positions
            elif loop.time() - moved_at > patience_s:
                raise DependencyDownTooLong("the broker sends no more verdicts", remedy="Run the same command again.")

    async def commit(self, places: Places) -> None:
        """Commit offsets with their marks, all in one.

        Raises:
            BrokerUnavailable: it may or may not be done; commit again.
            CheckFailed: somebody has joined the group, which is the replay's alone.
        """
        offsets = {
            TopicPartition(TOPIC, number): (offset, mark.metadata()) for number, (offset, mark) in places.items()
        }
        async with self._said(f"commit in the group {self.group}"):
            await self._consumer.commit(offsets)

    async def stop(self) -> None:
        """Disconnect, in bounded time."""
        await ends_within(self._consumer.stop(), LEAVE_S)
        await ends_within(self._admin.close(), LEAVE_S)

    async def _numbers(self) -> list[int]:
        # All topics, not ours by name: aiokafka lets a broker with auto-creation create what a request names.
        found = {topic["topic"]: topic["partitions"] for topic in await self._admin.describe_topics()}
        return sorted(partition["partition"] for partition in found.get(TOPIC, []))

    @asynccontextmanager
    async def _said(self, doing: str) -> AsyncIterator[None]:
        """Say what the library raises in our own words."""
        try:
            yield
        except (KafkaError, TimeoutError) as error:
            raise await self._as_ours(error, doing) from error

    async def _as_ours(self, error: Exception, doing: str) -> DeepTraceError:
        if isinstance(error, REFUSALS):
            return not_permitted(error, doing, self._settings)
        if isinstance(error, KafkaConnectionError):
            return await unreachable(self._settings)
        if isinstance(error, (TimeoutError, *AWAY)) or getattr(error, "retriable", False):
            return BrokerUnavailable("the Kafka broker does not answer", why=type(error).__name__)
        return CheckFailed(
            f"the broker does not let this process {doing}",
            why=type(error).__name__,
            remedy=f"Look for consumers that have joined the group {self.group}: it is this replay's alone.",
        )


async def _patiently(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask the group's coordinator; a broker that has just started needs a moment to have one."""
    for left in reversed(range(COORDINATOR_TRIES)):
        try:
            return await ask()
        except KafkaError as error:
            if not (error.retriable and left):
                raise
            await asyncio.sleep(COORDINATOR_WAIT_S)
    raise AssertionError
