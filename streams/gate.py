"""A gate before a dependency: closed while it is down. Who needs it waits here, and one probe asks for all of them."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable

import structlog

from schemas.errors import DependencyDown, DependencyDownTooLong, StoreUnavailable
from streams.settings import PipelineSettings

log = structlog.get_logger(__name__)


def backoff_s(settings: PipelineSettings, failures: int) -> float:
    """Return how long to wait after so many failures: doubling, with jitter, at most `dependency_wait_s`."""
    longest = min(settings.retry_first_s * 2.0 ** min(failures, 30), settings.dependency_wait_s)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret


class Gate:
    """Opens by itself once `probe` stops raising DependencyDown; while it is closed nothing is asked of the dependency but the probe.

    One failure closes it only if nobody got an answer since that request began: a store that fails on one object while it serves
    others is not down. A dependency that passes the probe and then serves nobody is probed less and less often.
    """

    def __init__(
        self,
        name: str,
        probe: Callable[[], Awaitable[object]],
        settings: PipelineSettings,
        *,
        failure: type[DependencyDown] = StoreUnavailable,
    ) -> None:
        self._name = name
        self._probe = probe
        self._settings = settings
        self._failure = failure
        self._failures = 0  # of requests and probes, since a request got an answer
        self._open = asyncio.Event()
        self._open.set()
        self._answered_at = 0.0
        self._closed_at: float | None = None
        self._reason: DependencyDown | None = None
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the dependency may be asked."""
        return self._open.is_set()

    @property
    def why_closed(self) -> str | None:
        """Return what the dependency is down of, or None while it is up."""
        return None if self._reason is None or self.is_open else str(self._reason)

    async def opened(self) -> None:
        """Return once the gate is open.

        Raises:
            DependencyDownTooLong: it stayed closed for `dependency_give_up_s`.
        """
        while not self.is_open:
            if self._probing is None or self._probing.done():
                raise self._why_given_up()
            waiting = asyncio.ensure_future(self._open.wait())
            try:
                await asyncio.wait({waiting, self._probing}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()

    def answered(self) -> None:
        """Note that the dependency has just answered somebody."""
        self._answered_at = time.monotonic()
        self._failures = 0

    def report(self, error: DependencyDown, began_at: float) -> bool:
        """Note a failure of a request that began at `began_at` (monotonic); return whether it is one to wait at the gate for."""
        if not isinstance(error, self._failure):
            return False  # of something else that the request needs
        if self.is_open and self._answered_at <= began_at:
            log.warning("dependency down", dependency=self._name, code=error.code, why=error.why)
            self._open.clear()
            self._reason, self._closed_at = error, time.monotonic()
            self._probing = asyncio.get_running_loop().create_task(self._probe_until_open())
        return not self.is_open

    async def close(self) -> None:
        """End the probe."""
        if self._probing is not None:
            self._probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._probing

    async def _probe_until_open(self) -> None:
        assert self._closed_at is not None
        while time.monotonic() - self._closed_at < self._settings.dependency_give_up_s:
            await asyncio.sleep(backoff_s(self._settings, self._failures))
            self._failures += 1
            try:
                await self._probe()
            except DependencyDown as error:
                self._reason = error
            else:
                log.info("dependency back", dependency=self._name, down_s=round(time.monotonic() - self._closed_at, 3))
                self._answered_at = time.monotonic()
                self._open.set()
                return

    def _why_given_up(self) -> BaseException:
        probing, reason = self._probing, self._reason
        if probing is not None and not probing.cancelled() and (unexpected := probing.exception()) is not None:
            return unexpected
        if reason is None:
            return DependencyDownTooLong(f"the {self._name} stayed away too long")
        return DependencyDownTooLong(reason.message, why=reason.why, remedy=reason.remedy)
