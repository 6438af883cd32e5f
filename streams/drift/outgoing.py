"""Sends what the drift worker says, and does not give up while the broker is away: nothing is lost by waiting, much by going on."""

from collections.abc import Awaitable, Callable

import orjson
import stamina

from schemas import topics
from schemas.cloud_event import write_headers
from schemas.errors import DependencyDown
from schemas.observations import ObservationBatch
from schemas.window import CANDIDATE_SCHEMA, DriftAlert, GeneratorCandidate, WindowSummary
from streams.drift.metrics import DriftMetrics
from streams.drift.records import Closing
from streams.producer import Producer
from streams.settings import PipelineSettings

SOURCE = "/deeptrace/drift"
WINDOW_TYPE = "deeptrace.window.v1"
ALERT_TYPE = "deeptrace.drift-alert.v1"
CANDIDATE_TYPE = "deeptrace.generator-candidate.v1"


class Outgoing:
    """The three topics the drift worker writes to. Each call returns when the broker has the record."""

    def __init__(self, producer: Producer, settings: PipelineSettings, metrics: DriftMetrics) -> None:
        self._producer = producer
        self._settings = settings
        self._metrics = metrics

    async def observe(self, batch: ObservationBatch) -> None:
        """Publish observations, keyed by tenant: all of a tenant lies in one partition."""
        key, value = batch.tenant.encode(), batch.to_bytes()
        await self._until_taken(lambda: self._producer.send(topics.OBSERVATIONS, key=key, value=value))

    async def close(self, tenant: str, closing: Closing) -> None:
        """Publish a window's summary and, after it, its alerts; headers follow from the values, so repeats are byte-identical."""
        key = tenant.encode()
        value = closing.summary.encode()
        summary = WindowSummary.from_bytes(value)
        headers = write_headers(
            event_id=summary.window_id, source=SOURCE, event_type=WINDOW_TYPE, subject=tenant, time=summary.end
        )
        await self._until_taken(lambda: self._producer.send(topics.WINDOWS, key=key, value=value, headers=headers))
        for text in closing.alerts:
            await self._alert(key, text.encode())

    async def _alert(self, key: bytes, value: bytes) -> None:
        alert: DriftAlert | GeneratorCandidate
        if orjson.loads(value)["schema"] == CANDIDATE_SCHEMA:
            alert, kind = GeneratorCandidate.from_bytes(value), CANDIDATE_TYPE
            event_id = alert.candidate_id
        else:
            alert, kind = DriftAlert.from_bytes(value), ALERT_TYPE
            event_id = alert.alert_id
        headers = write_headers(event_id=event_id, source=SOURCE, event_type=kind, subject=alert.tenant, time=alert.end)
        await self._until_taken(lambda: self._producer.send(topics.DRIFT_ALERTS, key=key, value=value, headers=headers))

    async def _until_taken(self, send: Callable[[], Awaitable[None]]) -> None:
        async for attempt in stamina.retry_context(
            on=self._is_down,
            attempts=None,
            timeout=None,
            wait_initial=self._settings.retry_first_s,
            wait_max=self._settings.dependency_wait_s,
            wait_jitter=self._settings.retry_first_s,
        ):
            with attempt:
                await send()

    def _is_down(self, error: Exception) -> bool:
        if not isinstance(error, DependencyDown):
            return False
        self._metrics.retries.labels(error.code).inc()
        return True
