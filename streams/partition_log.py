"""What the broker says of partitions: where each begins and ends, and when the record at an offset was written. Joins no group."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import BrokerUnavailable
from streams.broker_errors import REFUSALS, not_permitted
from streams.deadline import ends_within
from streams.kafka_security import client_options
from streams.lenient_headers import read_leniently
from streams.settings import KafkaSettings

Place = tuple[str, int]
"""A topic and the number of a partition."""

Answer = TypeVar("Answer")

ANSWER_S = 10.0  # aiokafka asks for ever where a partition is away
PEEK_MS = 500
EMPTY_POLLS = 3
PEEK_BYTES = 1024  # the broker gives one batch in any case
LEAVE_S = 2.0


class PartitionLog:
    """One connection for all questions, made at the first and again after a failure. One question at a time."""

    def __init__(self, settings: KafkaSettings, *, group: str | None = None) -> None:
        """Take the broker's address, and the group whose commits may be asked for; it is not joined."""
        self._settings = settings
        self._group = group
        self._consumer: AIOKafkaConsumer | None = None

    async def spans(self, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
        """Return the first offset of each partition and the one that its next record will get.

        Raises:
            BrokerUnavailable: no answer, or not in time.
            NotPermitted: the topic may not be seen.
        """
        asked = [TopicPartition(*place) for place in places]

        async def ask(consumer: AIOKafkaConsumer) -> dict[Place, tuple[int, int]]:
            begins, ends = await consumer.beginning_offsets(asked), await consumer.end_offsets(asked)
            return {(place.topic, place.partition): (begins[place], ends[place]) for place in asked}

        return await self._asked(ask) if asked else {}

    async def committed(self, places: Iterable[Place]) -> dict[Place, int | None]:
        """Return what the group has committed of each partition; None where that is nothing.

        Raises:
            BrokerUnavailable, NotPermitted
        """
        asked = [TopicPartition(*place) for place in places]

        async def ask(consumer: AIOKafkaConsumer) -> dict[Place, int | None]:
            offsets = await asyncio.gather(*(consumer.committed(place) for place in asked))
            return {(place.topic, place.partition): offset for place, offset in zip(asked, offsets, strict=True)}

        return await self._asked(ask) if asked else {}

    async def written_at(self, positions: Mapping[Place, int]) -> dict[Place, float]:
        """Return, in seconds since 1970, when the record at or after each offset was written; without those that have none.

        Raises:
            BrokerUnavailable, NotPermitted
        """
        if not positions:
            return {}

        async def ask(consumer: AIOKafkaConsumer) -> dict[Place, float]:
            waiting = {TopicPartition(*place): offset for place, offset in positions.items()}
            found: dict[Place, float] = {}
            consumer.assign(list(waiting))
            for place, offset in waiting.items():
                consumer.seek(place, offset)
            empty = 0
            while waiting and empty < EMPTY_POLLS:  # transaction markers take offsets, and are never given
                records = await consumer.getmany(*waiting, timeout_ms=PEEK_MS, max_records=len(waiting))
                empty += not records
                for place, got in records.items():
                    if got:
                        waiting.pop(place, None)
                        if got[0].timestamp >= 0:
                            found[place.topic, place.partition] = got[0].timestamp / 1000
            consumer.unsubscribe()  # else it goes on fetching
            return found

        return await self._asked(ask)

    async def close(self) -> None:
        """Disconnect; the next question connects anew."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await ends_within(consumer.stop(), LEAVE_S)

    async def _asked(self, ask: Callable[[AIOKafkaConsumer], Awaitable[Answer]]) -> Answer:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await ask(await self._connected())
        except REFUSALS as error:
            raise not_permitted(error, "see how far the group is", self._settings) from error
        except (KafkaError, TimeoutError) as error:
            await self.close()
            raise BrokerUnavailable("the broker could not be asked for offsets", why=type(error).__name__) from error

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            read_leniently()
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._settings.bootstrap_servers,
                client_id="deeptrace-lag",
                group_id=self._group,
                enable_auto_commit=False,
                max_partition_fetch_bytes=PEEK_BYTES,
                request_timeout_ms=int(self._settings.request_timeout_s * 1000),
                **client_options(self._settings),
            )
            try:
                await consumer.start()
            except BaseException:
                await ends_within(consumer.stop(), LEAVE_S)
                raise
            self._consumer = consumer
        return self._consumer
