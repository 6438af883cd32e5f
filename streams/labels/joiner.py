"""Joins labels to their verdicts as they come: reads the labels topic in a group, looks outcomes up, publishes the pairs.

At least once: a label is committed when its pair is on the topic, or when it is counted as one that has none. What is published twice is the
same bytes with the same id.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import stamina
import structlog

from schemas import topics
from schemas.errors import DependencyDown, MessageRejected, NotPermitted
from schemas.incoming import kafka_time
from schemas.label import Labelled
from schemas.topics import record_key
from streams.broker_access import label_needs, require_access
from streams.connecting import connect_outcomes
from streams.deadline import ends_within
from streams.intake import Intake, Place
from streams.labels.archive import Outcomes
from streams.labels.joining import headers_of, join, read_label
from streams.labels.metrics import LabelMetrics
from streams.ledger import Entry
from streams.objects import Objects
from streams.producer import Producer
from streams.settings import Settings

COMMIT_S: Final = 1.0
MOST_UNFINISHED: Final = 2_000
LEAVE_S: Final = 5.0

log = structlog.get_logger(__name__)


class Joiner:
    """One stay in the group, from the checks to the last commit. Used once."""

    def __init__(
        self, settings: Settings, metrics: LabelMetrics, *, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        kafka = settings.kafka
        self._settings = settings
        self._metrics = metrics
        self._on_ready = on_ready
        self._under_way = 0
        self._objects = Objects(connect_outcomes(settings.store), settings.store)
        self._outcomes = Outcomes(
            self._objects,
            settings.store.outcome_bucket,
            settings.pipeline,
            wait_s=settings.labels.wait_s,
            on_wait=self._waits,
        )
        self._producer = Producer(kafka, client_id=kafka.labels_group)
        self._intake = Intake(kafka, topics.LABELS, kafka.labels_group)

    async def run(self) -> None:
        """Join labels until cancelled; then commit what is finished, and leave.

        Raises:
            NotPermitted, TopicMissing: a right or a topic is missing, on the broker or in the store.
            BrokerUnavailable: and whatever else hinders it; nothing is lost, a new stay goes on after the last commit.
        """
        try:
            await require_access(self._settings.kafka, label_needs(self._settings.kafka))
            if (why := await self._outcomes.check()) is not None:
                raise NotPermitted(
                    "the archive of outcomes cannot be read",
                    why=why,
                    remedy="`deeptrace storage policies drift` prints what the drift worker's store user must be allowed to do.",
                )
            await self._producer.start()
            await self._intake.start()
            self._metrics.on.set(1)
            self._on_ready()
            log.info("labels are joined", group=self._settings.kafka.labels_group)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._commit())
                await self._take_in(tasks)
        finally:
            self._metrics.on.set(0)
            self._metrics.unfinished.set(0)
            await self._leave()

    async def _take_in(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._metrics.unfinished.set(self._under_way)
            # Not what the intake has unfinished: of partitions that were taken away some may still wait for the store.
            if self._under_way >= MOST_UNFINISHED:
                await asyncio.sleep(COMMIT_S)
                continue
            for entry, record in await self._intake.batch():
                self._under_way += 1
                tasks.create_task(self._handle(entry, record))

    async def _handle(self, entry: Entry[Place], record: Any) -> None:
        try:
            result = await self._result(record)
        finally:
            self._under_way -= 1
        self._metrics.labels.labels(result).inc()
        self._intake.finish(entry)

    async def _result(self, record: Any) -> str:
        """Return what becomes of a record, once nothing can undo it."""
        now = datetime.now(UTC)
        try:
            label = read_label(record.value, now=now)
        except MessageRejected as error:
            log.warning(
                "label skipped", partition=record.partition, offset=record.offset, code=error.code, why=error.why
            )
            return error.code
        found = await self._outcomes.find(label.outcome_id, asked_at=min(kafka_time(record.timestamp / 1000), now))
        pair = found if isinstance(found, str) else join(label, found)
        if isinstance(pair, str):
            log.warning("label skipped", partition=record.partition, offset=record.offset, code=pair)
            return pair
        await self._publish(pair)
        return "joined"

    async def _publish(self, pair: Labelled) -> None:
        pipeline = self._settings.pipeline
        async for attempt in stamina.retry_context(
            on=self._is_down,
            attempts=None,
            timeout=None,
            wait_initial=pipeline.retry_first_s,
            wait_max=pipeline.dependency_wait_s,
            wait_jitter=pipeline.retry_first_s,
        ):
            with attempt:
                await self._producer.send(
                    topics.LABELLED,
                    key=record_key(pair.label.tenant, pair.label.image_id),
                    value=pair.to_bytes(),
                    headers=headers_of(pair),
                )

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            await self._intake.commit()

    async def _leave(self) -> None:
        await self._intake.leave()
        try:
            await self._producer.stop()
        finally:
            await ends_within(asyncio.to_thread(self._objects.close), LEAVE_S)

    def _is_down(self, error: Exception) -> bool:
        if not isinstance(error, DependencyDown):
            return False
        self._waits(error.code)
        return True

    def _waits(self, code: str) -> None:
        self._metrics.waits.labels(code).inc()
