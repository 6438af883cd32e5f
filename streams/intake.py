"""Records of one topic, and what may be committed of them: a plain consumer in a group of its own.

At least once: an offset is committed when everything before it is finished, so one who dies gets again what was not finished.
"""

from collections.abc import Iterable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError, KafkaError

from streams.broker_errors import REFUSALS, not_permitted, unreachable
from streams.deadline import ends_within
from streams.kafka_security import client_options
from streams.ledger import Entry, Ledger
from streams.lenient_headers import read_leniently
from streams.settings import KafkaSettings

POLL_MS = 500
BATCH = 256
MAX_POLL_INTERVAL_S = 3600  # one who waits for the broker to take a record must not be thrown out of the group
HEARTBEAT_S = 3.0
LEAVE_S = 3.0

Place = tuple[TopicPartition, int]  # and the offset

log = structlog.get_logger(__name__)


class Intake:
    """Delivers records and commits the finished prefix of each partition. Lives on the event loop."""

    def __init__(self, settings: KafkaSettings, topic: str, group: str) -> None:
        self._settings = settings
        self._topic = topic
        self._group = group
        self._consumer: AIOKafkaConsumer | None = None
        self._generation = 0
        self._due: dict[TopicPartition, int] = {}
        self._ledger = Ledger[Place](self._note)

    @property
    def unfinished(self) -> int:
        """How many delivered records are not acknowledged."""
        return self._ledger.unfinished

    @property
    def is_assigned(self) -> bool:
        """Whether this process has partitions; with more of them than partitions one has none."""
        return self._consumer is not None and bool(self._consumer.assignment())

    async def start(self) -> None:
        """Join the group.

        Raises:
            BrokerUnavailable
            ConfigError: the broker is not trusted, or does not accept us (`streams.broker_errors`).
        """
        read_leniently()
        self._consumer = consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.bootstrap_servers,
            client_id=self._group,
            group_id=self._group,
            group_instance_id=self._settings.instance_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(self._settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(min(HEARTBEAT_S, self._settings.session_timeout_s / 3) * 1000),
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
            max_poll_interval_ms=MAX_POLL_INTERVAL_S * 1000,
            **client_options(self._settings),
        )
        consumer.subscribe([self._topic], listener=_Rebalances(self))
        try:
            await consumer.start()
        except REFUSALS as error:
            raise not_permitted(error, f"read {self._topic}", self._settings) from error
        except KafkaConnectionError as error:
            raise await unreachable(self._settings) from error

    async def batch(self) -> list[tuple[Entry[Place], Any]]:
        """Return the next records, each with its place in the ledger; empty when none came for half a second.

        Raises:
            NotPermitted: the right to read was taken away.
        """
        assert self._consumer is not None, "start() comes first"
        try:
            found = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH)
        except REFUSALS as error:
            raise not_permitted(error, f"read {self._topic}", self._settings) from error
        return [
            (
                self._ledger.register(at.topic, at.partition, self._generation, record.offset, (at, record.offset)),
                record,
            )
            for at, records in found.items()
            for record in records
        ]

    def finish(self, entry: Entry[Place]) -> None:
        """Mark a record as done; what is committed is the finished prefix."""
        self._ledger.finish(entry)

    async def commit(self) -> None:
        """Commit what is due. What the broker does not take now is due the next time."""
        if self._consumer is None or not self._due:
            return
        assigned = self._consumer.assignment()
        due = {place: offset for place, offset in self._due.items() if place in assigned}
        self._due = {}
        try:
            if due:
                await self._consumer.commit(due)
        except (CommitFailedError, IllegalStateError) as error:  # the group has moved on: somebody gets them again
            log.info("not committed", why=type(error).__name__)
        except REFUSALS as error:
            raise not_permitted(error, f"commit in group {self._group}", self._settings) from error
        except KafkaError as error:
            log.warning("not committed", why=type(error).__name__)
            self._due = due | self._due

    async def stop(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def leave(self) -> None:
        """Commit what is due and leave the group, each in bounded time. Raises nothing: what is not committed is delivered again.

        A consumer that is left behind because its last commit was refused would keep its partitions, and nobody would read them.
        """
        for step in (self.commit, self.stop):
            try:
                await ends_within(step(), LEAVE_S)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next step is done
                log.warning("not left in order", group=self._group, why=type(error).__name__)

    async def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Commit what is finished of partitions that are being taken away, and forget the rest: somebody gets it."""
        await self.commit()
        self._ledger.drop(self._ledger.lanes())
        self._due = {}
        log.info("partitions revoked", partitions=sorted(place.partition for place in partitions))

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin a generation: what was delivered before it acknowledges nothing."""
        self._generation += 1
        log.info("partitions assigned", partitions=sorted(place.partition for place in partitions))

    def _note(self, place: Place) -> None:
        at, offset = place
        self._due[at] = offset + 1


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """aiokafka waits for both before it goes on."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._intake.revoked(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._intake.assigned(assigned)
