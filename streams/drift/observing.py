"""Publishes what windows need of a batch of verdicts. What cannot be read is counted by its reason, logged, and holds up nothing."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from schemas.errors import MessageRejected, SchemaVersionUnknown
from schemas.observations import ObservationBatch
from streams.drift.gathering import Gathering
from streams.drift.metrics import DriftMetrics
from streams.drift.observations import EventTimes, Seen, observe
from streams.settings import DriftSettings

log = structlog.get_logger(__name__)


class Record(Protocol):
    """A record of the verdicts topic; `timestamp` is in seconds."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    value: bytes | None


class Observing:
    """Turns verdicts into batches of observations and has them published."""

    def __init__(
        self,
        settings: DriftSettings,
        publish: Callable[[ObservationBatch], Awaitable[None]],
        metrics: DriftMetrics,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._times = EventTimes.of(settings)
        self._publish = publish
        self._metrics = metrics
        self._clock = clock

    async def publish(self, records: Sequence[Record]) -> None:
        """Publish the observations of `records`; returns when the broker has them all."""
        batches = self.batches(records)
        if batches:
            await asyncio.gather(*(self._publish(batch) for batch in batches))

    def batches(self, records: Sequence[Record]) -> list[ObservationBatch]:
        """Return what is to be published of `records`: by tenant, and for all of them together."""
        now_ms = round(self._clock() * 1000)
        results: Counter[str] = Counter()
        fates: Counter[str] = Counter()
        gathering = Gathering()
        batches: list[ObservationBatch] = []
        for record in records:
            written_ms = written_at_ms(record.timestamp, now_ms=now_ms)
            try:
                seen: Seen = observe(record.value, written_ms=written_ms)
            except MessageRejected as error:
                results["unknown_schema" if isinstance(error, SchemaVersionUnknown) else "unreadable"] += 1
                self._skipped(record, error)
                continue
            results["observed"] += 1
            for oddity in seen.oddities:
                results[oddity.value] += 1
            fate = self._times.fate(seen, written_ms=written_ms, now_ms=now_ms)
            if fate is not None:
                fates[fate.value] += 1
                continue
            if not gathering.has_room_for(seen):
                batches += gathering.batches()
                gathering = Gathering()
            gathering.add(seen)
        for result, count in results.items():
            self._metrics.verdicts.labels(result).inc(count)
        for name, count in fates.items():
            self._metrics.observations.labels(name).inc(count)
        return [*batches, *gathering.batches()]

    def _skipped(self, record: Record, error: MessageRejected) -> None:
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log.warning("skipped", **place, why=error.why)


def written_at_ms(timestamp_s: float, *, now_ms: int) -> int:
    """Return when a record was written; a time that it does not have, or that is still to come, becomes now.

    >>> written_at_ms(1.5, now_ms=10_000), written_at_ms(-0.001, now_ms=10_000), written_at_ms(4e9, now_ms=10_000)
    (1500, 10000, 10000)
    """
    written_ms = round(timestamp_s * 1000)
    return written_ms if 0 < written_ms <= now_ms else now_ms
