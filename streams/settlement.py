"""The last stretch of a reference: its outcome is admitted, settled, published and counted."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from schemas.cloud_event import Headers
from schemas.incoming import Record
from schemas.verdict import REASONS
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
        at_once: int = 128,
    ) -> None:
        self._producer = producer
        self._archive = archive
        self._limit = limit
        self._retries = retries
        self._metrics = metrics
        self._failpoints = failpoints
        # A notification may hold a hundred references, and each dead letter the whole notification: so many are written out at once.
        self._room = asyncio.Semaphore(at_once)

    async def finish_all(self, found: Sequence[tuple[Outcome | Postponed, Passage]], record: Record) -> None:
        """Finish all references of one record. However many dead letters it comes to, they count as one towards the limit."""
        letters = [index for index, (one, _) in enumerate(found) if isinstance(one, Outcome) and one.code is not None]
        await asyncio.gather(
            *(
                self.finish(one, passage, record, counts=index not in letters[1:])
                for index, (one, passage) in enumerate(found)
            )
        )

    async def finish(
        self, found: Outcome | Postponed, passage: Passage, record: Record, *, counts: bool = True
    ) -> None:
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
            await self._admitted(found, record, counts=counts)
        async with self._room:
            await self._out(outcome, passage, record)

    async def _out(self, outcome: Outcome, passage: Passage, record: Record) -> None:
        if not passage.known and self._archive is not None:
            with passage.in_stage("settle", self._metrics.observe_stage):
                outcome, result = await self._archive.settle(outcome, passage)
            self._metrics.settlements.labels(result).inc()
        self._failpoints.hit("after_settle")
        await self._send(outcome.topic, outcome.key, outcome.value, outcome.headers, passage)
        self._failpoints.hit("after_publish")
        self._count(outcome)
        if not passage.known:  # whoever settled it published it then, and somebody may have waited no longer
            self._observe_wait(outcome, record)

    async def _admitted(self, outcome: Outcome, record: Record, *, counts: bool) -> None:
        was_tripped = self._limit.tripped
        is_letter = outcome.code is not None
        if counts and self._limit.admits(record.partition, is_letter=is_letter):
            return
        if not counts and not (is_letter and was_tripped):
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
        if outcome.code is None:
            self._metrics.outcomes.labels("verdict").inc()
        if outcome.verdict is not None:
            verdict = outcome.verdict
            self._metrics.verdicts.labels(verdict.verdict, verdict.predicted_source or "none").inc()
            self._metrics.explanations.labels(verdict.explanation.status).inc()
            for reason in verdict.reasons:
                # What a newer release has settled may have a reason that this one does not know; a label takes no text from a stored object.
                self._metrics.withheld.labels(reason if reason in REASONS else "other").inc()
            if verdict.confidence is not None:
                self._metrics.confidence.labels(verdict.verdict).observe(verdict.confidence)
            self._metrics.batch_size.observe(verdict.timing.batch_size)
        elif outcome.code is not None:
            self._metrics.outcomes.labels("dead_letter").inc()
            self._metrics.dead_letters.labels(outcome.code).inc()
            log.info("dead letter", outcome_id=outcome.outcome_id, code=outcome.code)

    def _observe_wait(self, outcome: Outcome, record: Record) -> None:
        since = (outcome.verdict.source.event_time if outcome.verdict else None) or record.timestamp
        waited_s = (datetime.now(UTC) - since).total_seconds()
        self._metrics.end_to_end_seconds.labels("verdict" if outcome.code is None else "dead_letter").observe(
            max(0.0, waited_s)  # an uploader's clock may be ahead
        )
