"""The last stretch of a reference: its outcome is admitted, settled, published and counted."""

import asyncio

import structlog

from schemas.cloud_event import Headers
from schemas.incoming import Record
from streams.archive import Archive
from streams.failpoints import Failpoints
from streams.letter_limit import LetterLimit
from streams.metrics import WorkerMetrics
from streams.outcomes import Outcome, Postponed
from streams.passage import Passage
from streams.producer import Producer
from streams.retries import Retries

log = structlog.get_logger(__name__)


class Settlement:
    """What is published went through here. Without an archive outcomes are published as they are (`at_least_once`)."""

    def __init__(
        self,
        producer: Producer,
        *,
        archive: Archive | None,
        limit: LetterLimit,
        retries: Retries,
        metrics: WorkerMetrics,
        failpoints: Failpoints,
    ) -> None:
        self._producer = producer
        self._archive = archive
        self._limit = limit
        self._retries = retries
        self._metrics = metrics
        self._failpoints = failpoints

    async def finish(self, found: Outcome | Postponed, passage: Passage, record: Record) -> None:
        """Return when the broker has what became of the reference, be it on a retry topic.

        Never returns for a dead letter over the limit: it stays undecided until this process ends or loses the partition.
        """
        if isinstance(found, Postponed):
            await self._send(found.topic, found.key, found.value, found.headers, passage)
            self._metrics.postponed.labels(found.code).inc()
            log.info("postponed", outcome_id=found.outcome_id, code=found.code, topic=found.topic)
            return
        outcome = found
        if passage.known:
            self._metrics.settlements.labels("known").inc()
        else:
            await self._admitted(found, record)
            if self._archive is not None:
                with passage.in_stage("settle", self._metrics.observe_stage):
                    outcome, result = await self._archive.settle(found, passage)
                self._metrics.settlements.labels(result).inc()
        self._failpoints.hit("after_settle")
        await self._send(outcome.topic, outcome.key, outcome.value, outcome.headers, passage)
        self._failpoints.hit("after_publish")
        self._count(outcome)

    async def _admitted(self, outcome: Outcome, record: Record) -> None:
        was_tripped = self._limit.tripped
        if self._limit.admits(record.partition, is_letter=outcome.code is not None):
            return
        if was_tripped is None:
            log.error(
                "too many dead letters: nothing more is taken in until this worker is restarted",
                limit=self._limit.tripped,
                last_code=outcome.code,
            )
        await asyncio.get_running_loop().create_future()

    async def _send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, passage: Passage
    ) -> None:
        with passage.in_stage("publish", self._metrics.observe_stage):
            await self._retries.run(lambda: self._producer.send(topic, key=key, value=value, headers=headers), passage)

    def _count(self, outcome: Outcome) -> None:
        if outcome.verdict is not None:
            verdict = outcome.verdict
            self._metrics.outcomes.labels("verdict").inc()
            self._metrics.verdicts.labels(verdict.verdict, verdict.predicted_source or "none").inc()
            self._metrics.batch_size.observe(verdict.timing.batch_size)
        elif outcome.code is not None:
            self._metrics.outcomes.labels("dead_letter").inc()
            self._metrics.dead_letters.labels(outcome.code).inc()
            log.info("dead letter", outcome_id=outcome.outcome_id, code=outcome.code)
