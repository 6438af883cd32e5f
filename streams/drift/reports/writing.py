"""The companion that writes a report for each raised alert and each day.

It reads the windows topic in a group of its own, so a report is made once over all workers, and once more if its worker dies over it: the same
window gives the same key. An alert is told by its window: the first whose state is `drifting` in an episode. Reports of a day are made of all
tenants together, and of each tenant that has a reference of its own: pages of 4 MB for every tenant there is would fill the store.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog
from aiohttp import web

from schemas import topics
from schemas.base import rfc3339
from schemas.errors import BucketMissing, DeepTraceError, DependencyDown, MessageInvalid, ReferenceMissing, ReportFailed
from schemas.window import OVERALL, WindowSummary
from storage.store import ObjectStore
from streams.drift.following import Following, one_by_one
from streams.drift.metrics import DriftMetrics
from streams.drift.reference_shelf import ReferenceShelf
from streams.drift.reports.content import Content, Normal, content_of
from streams.drift.reports.placing import put_report, report_object
from streams.drift.reports.renderer import Renderer, require_evidently
from streams.drift.window_reader import whose
from streams.settings import Settings

DAY: Final = "1d"
MAX_AGE_S: Final = 3 * 86400.0
"""Older windows are passed over: the group may be new, and the topic full."""
ATTEMPTS: Final = 3
STORE_WAIT_S: Final = 10.0
REMEMBERED: Final = 10_000

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class ReportWriter:
    """See `streams.drift.companions.Companion`. While the store is away it waits; a report that cannot be rendered is counted and left out."""

    def __init__(
        self,
        settings: Settings,
        metrics: DriftMetrics,
        store: ObjectStore,
        *,
        renderer: Renderer | None = None,
        store_wait_s: float = STORE_WAIT_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._store = store
        self._shelf = ReferenceShelf(store, settings.store.drift_bucket)
        self._renderer = renderer or Renderer()
        self._store_wait_s = store_wait_s
        self._now = now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reports")
        self._told: OrderedDict[str, None] = OrderedDict()
        self._following = Following(
            settings.kafka,
            topic=topics.WINDOWS,
            group=settings.kafka.reports_group,
            work=one_by_one(self.take),
        )

    def routes(self, app: web.Application) -> None:
        """Serve nothing."""

    async def start(self) -> None:
        """Begin to follow the windows.

        Raises:
            ConfigError: Evidently is not installed.
        """
        require_evidently()
        self._following.start()

    async def stop(self) -> None:
        """Leave the group, and end the child."""
        await self._following.stop()  # first: a report that fails because of the end must not count as done
        await asyncio.get_running_loop().run_in_executor(None, self._renderer.close)
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._store.close()

    async def take(self, value: bytes | None) -> None:
        """Write the report of a window that needs one. Raises nothing; waits while the store is away."""
        try:
            summary = WindowSummary.from_bytes(value or b"")
        except MessageInvalid:
            return
        if self._now() - summary.end.timestamp() > MAX_AGE_S:
            return
        if not self._raises_alert(summary) and not await self._is_day(summary):
            return
        self._metrics.reports.labels(await self._write(summary)).inc()

    def _raises_alert(self, summary: WindowSummary) -> bool:
        found = summary.divergences
        if found is None or found.state != "drifting" or found.episode_id is None or found.episode_id in self._told:
            return False
        self._told[found.episode_id] = None
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True

    async def _is_day(self, summary: WindowSummary) -> bool:
        if summary.window != DAY or summary.reference is None or not summary.counts:
            return False
        if summary.tenant == OVERALL:
            return True
        while True:
            try:
                return await self._in_thread(lambda: self._shelf.current_version(summary.tenant)) is not None
            except (DependencyDown, BucketMissing) as error:
                await self._wait_for_store(summary, error)
            except DeepTraceError as error:
                log.warning("no report", window_id=summary.window_id, code=error.code, why=error.why)
                return False

    async def _write(self, summary: WindowSummary) -> str:
        """Return what became of it: `written`, or a code."""
        try:
            content = await self._in_thread(lambda: self._content(summary))
        except ValueError:
            return "empty"
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(self._renderer.wait_s)
            try:
                rendered = await self._in_thread(lambda: self._renderer.render(content))
                break
            except ReportFailed as error:
                log.warning("report not rendered", window_id=summary.window_id, attempt=attempt + 1, why=error.why)
                if attempt + 1 == ATTEMPTS:
                    return error.code
        place = report_object(self._settings.store.drift_bucket, summary.tenant, summary.window_id)
        while True:
            try:
                await self._in_thread(lambda: put_report(self._store, place, rendered))
            except DependencyDown as error:
                await self._wait_for_store(summary, error)
            else:
                log.info("report written", window_id=summary.window_id, key=place.key)
                return "written"

    async def _wait_for_store(self, summary: WindowSummary, error: DeepTraceError) -> None:
        log.warning("report waits for the store", window_id=summary.window_id, why=str(error))
        self._metrics.reports.labels("waiting").inc()
        await asyncio.sleep(self._store_wait_s)

    def _content(self, summary: WindowSummary) -> Content:
        return content_of(
            f"Drift of {whose(summary.tenant)}: window {summary.window or ''} from {rfc3339(summary.start)}",
            summary.counts,
            self._normal(summary),
            threshold=self._settings.drift.threshold,
            confidence=summary.confidence_histogram,
            about=about(summary),
        )

    def _normal(self, summary: WindowSummary) -> Normal:
        """Return what the window was compared with; how much it rests on is left out where that cannot be read."""
        version = None if summary.divergences is None else summary.divergences.reference_version
        shares = summary.reference or {}
        for tenant in dict.fromkeys((summary.tenant, OVERALL)) if version is not None else ():
            try:
                stored = self._shelf.get(tenant, version or "")
            except ReferenceMissing:
                continue
            except DeepTraceError:
                break
            return Normal(shares or stored.shares, stored.images, version, stored.confidence_histogram)
        return Normal(shares, version=version)

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def about(summary: WindowSummary) -> dict[str, str]:
    """Return what a report says of its window beside Evidently's figures."""
    said = {
        "window_id": summary.window_id,
        "tenant": whose(summary.tenant),
        "start": rfc3339(summary.start),
        "end": rfc3339(summary.end),
        "images": f"{summary.images}, of them {sum(summary.counts.values())} decided",
        "models": ", ".join(summary.model_versions) or "not known",
    }
    if summary.correction is not None:
        reason = f" ({summary.correction.reason})" if summary.correction.reason else ""
        said["correction"] = f"{summary.correction.status}{reason}"
    if summary.divergences is not None:
        kl = summary.divergences.kl_current_reference_nats
        said["ours"] = (
            f"KL(current || reference) {kl.value:.4f} nats ({kl.low:.4f} to {kl.high:.4f}), on {summary.divergences.basis} shares"
        )
        said["reference"] = summary.divergences.reference_version or "of the settings"
    return said
