"""What the audit asks of Kafka: which offsets there are, what the group has committed, and records up to an end fixed beforehand.

Belongs to no group and commits nothing. Positions, not offsets of records, tell when a partition is read: transactions and compaction
leave holes, also at its end.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    BrokerNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    KafkaUnavailableError,
)

from schemas.errors import BrokerUnavailable, ConfigError, DeepTraceError, TopicMissing
from schemas.incoming import Record, kafka_time
from streams.broker_errors import REFUSALS, not_permitted, unreachable
from streams.kafka_security import client_options
from streams.lenient_headers import read_leniently
from streams.settings import KafkaSettings

CLIENT_ID = "deeptrace-audit"
FETCH_BYTES = 2 * 1024 * 1024  # of one partition, in one answer
AT_ONCE = 5000
POLL_MS = 1000
COORDINATOR_TRIES = 20
COORDINATOR_WAIT_S = 0.5
AWAY = (BrokerNotAvailableError, KafkaTimeoutError, KafkaUnavailableError)  # not marked retriable in aiokafka 0.14

Partition = tuple[str, int]
Span = tuple[int, int]


class Broker:
    """Asks one cluster. Whatever fails within its context leaves it as BrokerUnavailable, or as a ConfigError for a person to mend."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._partitions: dict[str, list[int]] = {}
        common: dict[str, Any] = {
            "bootstrap_servers": settings.bootstrap_servers,
            "client_id": CLIENT_ID,
            "request_timeout_ms": int(settings.request_timeout_s * 1000),
            **client_options(settings),
        }
        self._admin = AIOKafkaAdminClient(**common)
        read_leniently()
        self._consumer = AIOKafkaConsumer(
            **common,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # where retention was faster than we: what is gone is gone
            max_partition_fetch_bytes=FETCH_BYTES,
        )

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            await self._consumer.start()
            # All topics, not ours by name: aiokafka lets a broker with auto-creation create what a request names.
            found = await self._admin.describe_topics()
        except BaseException as error:
            await self._close()
            if isinstance(error, (KafkaError, TimeoutError)):
                raise await self._said(error) from error
            raise
        self._partitions = {
            topic["topic"]: sorted(partition["partition"] for partition in topic["partitions"]) for topic in found
        }
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()
        if isinstance(error, (KafkaError, TimeoutError)):
            raise await self._said(error) from error

    def partitions(self, topic: str) -> list[Partition]:
        """Return the partitions of a topic; none where it does not exist."""
        return [(topic, partition) for partition in self._partitions.get(topic, [])]

    def require(self, names: Iterable[str]) -> None:
        """Return if all topics are there.

        Raises:
            TopicMissing: naming those that are not.
        """
        missing = [name for name in names if not self._partitions.get(name)]
        if missing:
            raise TopicMissing(
                f"missing topics: {', '.join(missing)}",
                remedy="Run `deeptrace topics apply`, or let this user describe and read them.",
            )

    async def committed(self, partitions: list[Partition]) -> dict[Partition, int]:
        """Return how far the scoring group has committed; 0 where it never has."""
        if not partitions:
            return {}
        asked = [TopicPartition(*partition) for partition in partitions]
        answer = await self._group_offsets(asked)
        if set(asked) - answer.keys():  # aiokafka 0.14 drops an error that concerns the whole group
            raise BrokerUnavailable(
                f"the broker does not say what the group {self._settings.group} has committed", remedy="Try again."
            )
        return {(tp.topic, tp.partition): max(0, answer[tp].offset) for tp in asked}

    async def beginnings(self, partitions: list[Partition]) -> dict[Partition, int]:
        """Return the first offset of each partition that is still there."""
        return _plain(await self._consumer.beginning_offsets([TopicPartition(*p) for p in partitions]))

    async def ends(self, partitions: list[Partition]) -> dict[Partition, int]:
        """Return the offset that the next record of each partition will get."""
        return _plain(await self._consumer.end_offsets([TopicPartition(*p) for p in partitions]))

    async def offsets_at(self, partitions: list[Partition], moment: datetime) -> dict[Partition, int | None]:
        """Return for each partition the first offset whose record is not older than `moment`; None where none is."""
        millis = int(moment.timestamp() * 1000)
        found = await self._consumer.offsets_for_times({TopicPartition(*p): millis for p in partitions})
        return {(tp.topic, tp.partition): at.offset if at is not None else None for tp, at in found.items()}

    async def read(self, spans: Mapping[Partition, Span]) -> AsyncIterator[list[Record]]:
        """Yield the records within `spans` (end excluded) in batches, and end when all were read; order holds within a partition."""
        ends = {TopicPartition(*p): end for p, (start, end) in spans.items() if start < end}
        if not ends:
            return
        self._consumer.assign(list(ends))
        for tp in ends:
            self._consumer.seek(tp, spans[tp.topic, tp.partition][0])
        moved_at, before = time.monotonic(), dict.fromkeys(ends, -1)
        while ends:
            fetched = await self._consumer.getmany(*ends, timeout_ms=POLL_MS, max_records=AT_ONCE)
            for tp, records in fetched.items():
                yield [_record(record) for record in records if record.offset < ends[tp]]
            positions = {tp: await self._consumer.position(tp) for tp in ends}
            for tp in [tp for tp, position in positions.items() if position >= ends[tp]]:
                self._consumer.pause(tp)
                del ends[tp]
            if positions != before:
                moved_at, before = time.monotonic(), positions
            elif time.monotonic() - moved_at > self._settings.request_timeout_s:
                raise BrokerUnavailable("the broker sends no more records", remedy="Run the audit again.")
        self._consumer.unsubscribe()

    async def _group_offsets(self, asked: list[Any]) -> dict[Any, Any]:
        """Ask the group's coordinator; a broker that has just started needs a moment to have one."""
        for left in reversed(range(COORDINATOR_TRIES)):
            try:
                answer: dict[Any, Any] = await self._admin.list_consumer_group_offsets(
                    self._settings.group, partitions=asked
                )
            except KafkaError as error:
                if not (error.retriable and left):
                    raise
                await asyncio.sleep(COORDINATOR_WAIT_S)
            else:
                return answer
        raise AssertionError

    async def _close(self) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def _said(self, error: Exception) -> DeepTraceError:
        if isinstance(error, REFUSALS):
            return not_permitted(
                error, f"read the topics and describe the group {self._settings.group}", self._settings
            )
        if isinstance(error, KafkaConnectionError):
            return await unreachable(self._settings)
        if isinstance(error, (TimeoutError, *AWAY)) or getattr(error, "retriable", False):
            return BrokerUnavailable(
                "the Kafka broker does not answer", why=type(error).__name__, remedy="Run the audit again."
            )
        return ConfigError(
            "the Kafka broker cannot be audited", why=str(error), remedy="Correct what the broker names."
        )


def _plain(offsets: Mapping[Any, int]) -> dict[Partition, int]:
    return {(tp.topic, tp.partition): offset for tp, offset in offsets.items()}


def _record(record: Any) -> Record:
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        tuple(record.headers),
        kafka_time(record.timestamp / 1000),
    )
