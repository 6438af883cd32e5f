"""Sends what the drift worker says, and does not give up while the broker is away: nothing is lost by waiting, much by going on."""

from collections.abc import Awaitable, Callable

import stamina

from schemas import topics
from schemas.cloud_event import write_headers
from schemas.errors import DependencyDown
from schemas.window import DriftAlert, Observation, WindowSummary
from streams.drift.metrics import DriftMetrics
from streams.drift.records import Closing
from streams.producer import Producer
from streams.settings import PipelineSettings

SOURCE = "/deeptrace/drift"
WINDOW_TYPE = "deeptrace.window.v1"
ALERT_TYPE = "deeptrace.drift-alert.v1"


class Outgoing:
    """The three topics the drift worker writes to. Each call returns when the broker has the record."""

    def __init__(self, producer: Producer, settings: PipelineSettings, metrics: DriftMetrics) -> None:
        self._producer = producer
        self._settings = settings
        self._metrics = metrics

    async def observe(self, observation: Observation) -> None:
        """Publish an observation, keyed by tenant: all of a tenant lies in one partition."""
        key, value = observation.tenant.encode(), observation.to_bytes()
        await self._until_taken(lambda: self._producer.send(topics.OBSERVATIONS, key=key, value=value))

    async def close(self, tenant: str, closing: Closing) -> None:
        """Publish a window's summary and, after it, its alert; headers follow from the values, so repeats are byte-identical."""
        key = tenant.encode()
        value = closing.summary.encode()
        summary = WindowSummary.from_bytes(value)
        headers = write_headers(
            event_id=summary.window_id, source=SOURCE, event_type=WINDOW_TYPE, subject=tenant, time=summary.end
        )
        await self._until_taken(lambda: self._producer.send(topics.WINDOWS, key=key, value=value, headers=headers))
        if closing.alert is not None:
            await self._alert(key, closing.alert.encode())

    async def _alert(self, key: bytes, value: bytes) -> None:
        alert = DriftAlert.from_bytes(value)
        headers = write_headers(
            event_id=alert.alert_id, source=SOURCE, event_type=ALERT_TYPE, subject=alert.tenant, time=alert.end
        )
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
