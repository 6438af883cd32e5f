"""Takes what is delivered to the desk, in the order of delivery, and notices what was left out. Knows no Faust but the shape of its events."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.errors import RecordsLeftOut
from schemas.incoming import Record, kafka_time
from schemas.retry import Retry
from streams.desk import Desk
from streams.ledger import Entry, Ledger
from streams.pipeline import Delivery
from streams.settings import Settings
from streams.topic_probe import holds_records


class Deliveries:
    """The agents of the scoring worker do nothing but run one of these two; neither can raise, since Faust would go on with the next record."""

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: Ledger[Any],
        desk: Desk[Any],
        committed: Callable[[str, int], int | None],
        leaving: Callable[[], bool],
    ) -> None:
        """Take the parts.

        Args:
            settings: of the worker.
            ledger: what was delivered, in order.
            desk: where it is worked on.
            committed: returns the offset that the consumer went on from when it got a partition.
            leaving: whether partitions are being taken away just now, or the worker stops.
        """
        self._settings = settings
        self._ledger = ledger
        self._desk = desk
        self._committed = committed
        self._leaving = leaving

    async def take(self, events: AsyncIterator[Any]) -> None:
        """Start on each record of the images topic; waits while enough are in flight."""
        async for event in events:
            entry = await self._register(event)
            if entry is not None:
                await self._desk.take(entry, Delivery(_record(event.message), again=self._may_be_known(entry)))

    async def take_retries(self, events: AsyncIterator[Any], step: int) -> None:
        """Hold each record of a retry topic back until it is due. Faust stops fetching meanwhile, so memory does not grow."""
        async for event in events:
            entry = await self._register(event)
            if entry is None:
                continue
            record = _record(event.message)
            retry = Retry.read(record)
            if retry is not None and not await self._desk.due(entry, self._due(retry, step)):
                continue  # taken away meanwhile
            delivery = Delivery(retry.original if retry else record, retry, step, self._may_be_known(entry))
            await self._desk.take(entry, delivery)

    def next_offset(self, topic: str, partition: int, generation: int) -> int:
        """Return the offset that is to be delivered next: where nothing was delivered or committed yet, the beginning of the partition."""
        due = self._ledger.next_offset(topic, partition, generation)
        return due if due is not None else self._committed(topic, partition) or 0

    def _due(self, retry: Retry, step: int) -> datetime:
        """Return when the record is to be tried: never later than the topic's own wait from now, whatever clock wrote it."""
        delays = self._settings.kafka.retry_delays_s
        longest = delays[step - 1] if step <= len(delays) else 0.0
        return min(retry.not_before, datetime.now(UTC) + timedelta(seconds=longest))

    async def _register(self, event: Any) -> Entry[Any] | None:
        """Take note of a delivery. None if it is not to be worked on; records before it that were left out end the worker."""
        # What is in hand may have been let go already: this one, taken now, would be committed past it.
        if self._leaving():
            self._desk.turn_away(event)
            return None
        message = event.message
        place = message.topic, message.partition
        due = self.next_offset(*place, message.generation_id)
        if message.offset > due and not await self._nothing_between(*place, due, message.offset):
            return None
        if self._leaving():
            self._desk.turn_away(event)
            return None
        return self._ledger.register(*place, message.generation_id, message.offset, event)

    async def _nothing_between(self, topic: str, partition: int, due: int, offset: int) -> bool:
        """Whether no record lies between: transaction markers take offsets, too. If one does, going on would lose it."""
        try:
            if not await holds_records(self._settings.kafka, topic, partition, due, offset):
                return True
        except Exception as error:  # noqa: BLE001  # an agent must not raise, and without an answer it must not go on
            self._desk.fail(error)
            return False
        self._desk.fail(
            RecordsLeftOut(
                f"records of {topic}/{partition} between {due} and {offset} were not delivered",
                why="they lie on the topic; a commit could go past them",
                remedy="The supervisor restarts the worker, which reads them.",
            )
        )
        return False

    def _may_be_known(self, entry: Entry[Any]) -> bool:
        """Whether the delivery may be a repeat: the first of a generation are, where a worker died, until so many in a row were new."""
        return entry.lane.unknown_in_a_row < self._settings.pipeline.in_flight


def _record(message: Any) -> Record:
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple(message.headers or ()),
        timestamp=kafka_time(message.timestamp),
    )
