"""Follows an alias: looks at it every few seconds and has what it points at taken over, in a thread beside the work."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

from schemas.errors import DeepTraceError
from schemas.release import ReleaseManifest
from streams.releases.name import ReleaseName
from streams.releases.registry import Pointer, Registry

log = structlog.get_logger(__name__)

LONGEST_WAIT_S: Final = 600.0
UNEXPECTED: Final = "unexpected"
Found = TypeVar("Found")
Result = str
"""What became of a look at an alias that had moved: what `adopt` returned, or the code of the error that stopped it."""


class Watcher:
    """Calls `adopt` with the release that the alias points at, once for each move; with None where it points at nothing.

    `adopt` runs in the thread `threads` and raises to refuse: what it had before stays. It is asked again at the next move of the
    alias, and for the same move with growing waits, since a store comes back and a broken object may be restored. While the registry
    cannot be asked nothing changes. `run` ends only by being cancelled.
    """

    def __init__(
        self,
        registry: Registry,
        name: ReleaseName,
        *,
        every_s: float,
        adopt: Callable[[ReleaseManifest | None], Result],
        noted: Callable[[Result], None],
        threads: ThreadPoolExecutor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assert name.alias is not None, "a version never moves"
        self._registry = registry
        self._name = name
        self._alias = name.alias
        self._every_s = every_s
        self._adopt = adopt
        self._noted = noted
        self._threads = threads
        self._clock = clock
        self._settled: str | None = ""  # the move that needs nothing more; "" is none that there can be
        self._failures = 0
        self._failed: str | None = None
        self._again_at = 0.0
        self._silent = False  # the registry did not answer; said once

    async def run(self) -> None:
        """Look at the alias for good."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    async def look(self) -> Result | None:
        """Look at the alias once; return what became of it if it had moved, None if there was nothing to do. Raises nothing."""
        try:
            pointer = await self._in_thread(lambda: self._registry.pointer(self._name.model, self._alias))
        except Exception as error:  # noqa: BLE001  # the running model does not need the registry
            self._say_silent(error)
            return None
        self._silent = False
        mark = None if pointer is None else pointer.mark
        if mark == self._settled or (mark == self._failed and self._failures and self._clock() < self._again_at):
            return None
        result = await self._take(pointer, mark)
        self._noted(result)
        return result

    async def _take(self, pointer: Pointer | None, mark: str | None) -> Result:
        try:
            result = await self._in_thread(lambda: self._adopt(self._release(pointer)))
        except Exception as error:  # noqa: BLE001  # whatever a candidate does, the model that runs goes on
            self._failures = self._failures + 1 if mark == self._failed else 1
            self._failed = mark
            wait_s = min(self._every_s * 2.0 ** min(self._failures, 30), LONGEST_WAIT_S)
            self._again_at = self._clock() + wait_s
            self._say_refused(error, pointer, wait_s)
            return error.code if isinstance(error, DeepTraceError) else UNEXPECTED
        self._settled, self._failed, self._failures = mark, None, 0
        return result

    def _release(self, pointer: Pointer | None) -> ReleaseManifest | None:
        if pointer is None or pointer.move.version is None:
            return None
        return self._registry.pointed_at(pointer.move)

    async def _in_thread(self, call: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _say_silent(self, error: Exception) -> None:
        if not self._silent:
            why = str(error) if isinstance(error, DeepTraceError) else type(error).__name__
            log.warning("the model registry cannot be asked; the running model goes on", alias=str(self._name), why=why)
        self._silent = True

    def _say_refused(self, error: Exception, pointer: Pointer | None, wait_s: float) -> None:
        version = pointer.move.version if pointer else None
        said = {"alias": str(self._name), "version": version, "again_in_s": round(wait_s, 1)}
        if isinstance(error, DeepTraceError):
            log.error(
                "release refused", code=error.code, error=error.message, why=error.why, remedy=error.remedy, **said
            )
        else:
            log.error("release refused", error=type(error).__name__, exc_info=error, **said)
