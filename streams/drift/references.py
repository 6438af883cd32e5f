"""The references of all tenants as the drift worker knows them: read from the object store in the background, answered from memory.

How the worker plugs it in: `references = StoredReferences.of_settings(settings, metrics)`, `Judge(references=references, ...)`, `await references.start()`
before the first window can close, `await references.stop()` after the last.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Self

import structlog

from schemas.errors import DeepTraceError, StoreUnavailable
from schemas.reference import DriftReference
from schemas.window import OVERALL
from streams.connecting import connect_drift
from streams.drift.metrics import DriftMetrics
from streams.drift.reference import Reference, load_reference
from streams.drift.reference_shelf import ReferenceShelf
from streams.settings import Settings

FIRST_LOOK_S: Final = 10.0
"""How long `start` waits for the first answer of the store: windows that close without a reference are never compared later."""
MAX_TENANTS: Final = 10_000
MAX_FAILED: Final = 3
"""Where the store hangs each reference costs its deadline: after so many the rest waits for the next look, and a stop is not held up by thousands."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """A tenant's reference, with the mark of the choice that it answers."""

    mark: str
    reference: Reference


class StoredReferences:
    """The reference of each tenant: that of the settings where there is one, else the tenant's own, else that of all tenants.

    The store is looked at every `refresh_s` in a thread. While it is away, or a stored reference cannot be read, the one known last stays; that
    is counted and logged and never raised. `of` answers from memory.
    """

    def __init__(
        self, fixed: Reference | None, shelf: ReferenceShelf | None, *, refresh_s: float, metrics: DriftMetrics
    ) -> None:
        self._fixed = fixed
        self._shelf = shelf
        self._refresh_s = refresh_s
        self._metrics = metrics
        self._held: Mapping[str, Held] = {}
        self._thread: Final = ThreadPoolExecutor(1, thread_name_prefix="references")
        self._task: asyncio.Task[None] | None = None
        self._first = asyncio.Event()
        self._said = ""

    @classmethod
    def of_settings(cls, settings: Settings, metrics: DriftMetrics) -> Self:
        """Put it together; connects to nothing. A worker without a key for the store has no stored references, as one with a reference in the settings.

        Raises:
            ConfigError: the reference of the settings cannot be used, or the store's address.
        """
        fixed, store = load_reference(settings.drift), settings.store
        looks = fixed is None and bool(store.access_key.get_secret_value())
        shelf = ReferenceShelf(connect_drift(store), store.drift_bucket) if looks else None
        return cls(fixed, shelf, refresh_s=settings.drift.references_refresh_s, metrics=metrics)

    def of(self, tenant: str) -> Reference | None:
        """Return the reference of `tenant`, as it is known now."""
        if self._fixed is not None:
            return self._fixed
        held = self._held.get(tenant) or self._held.get(OVERALL)
        return None if held is None else held.reference

    async def start(self) -> None:
        """Begin to look, and wait a moment for the first answer. With a reference in the settings nothing is looked at."""
        if self._shelf is None:
            if self._fixed is None:
                log.warning("no reference", why="none in the settings, and no key for the store: nothing is compared")
            return
        self._task = asyncio.create_task(self._look_for_good(self._shelf))
        try:
            async with asyncio.timeout(FIRST_LOOK_S):
                await self._first.wait()
        except TimeoutError:
            log.warning("the stored references are not known yet; windows go on without")

    async def stop(self) -> None:
        """End the looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._shelf is not None:
            self._shelf.close()

    async def look(self) -> None:
        """Look at the store once, where there is one. Raises nothing."""
        if self._shelf is not None:
            await self._look(self._shelf)

    async def _look(self, shelf: ReferenceShelf) -> None:
        """Look at the store once. Raises nothing."""
        try:
            held, failed = await asyncio.get_running_loop().run_in_executor(self._thread, _read, shelf, self._held)
        except Exception as error:  # noqa: BLE001  # windows do not need the store
            self._note("store", error)
            return
        for fault in failed:
            self._note("reference", fault)
        if not failed:
            self._metrics.reference_reads.labels("ok").inc()
            self._said = ""
        if held != self._held:
            log.info("references", tenants=len(held))
        self._held = held
        self._metrics.references.set(len(held))

    async def _look_for_good(self, shelf: ReferenceShelf) -> None:
        while True:
            await self._look(shelf)
            self._first.set()
            await asyncio.sleep(self._refresh_s)

    def _note(self, what: str, error: Exception) -> None:
        code = error.code if isinstance(error, DeepTraceError) else "unexpected"
        self._metrics.reference_reads.labels(code).inc()
        said = str(error) if isinstance(error, DeepTraceError) else type(error).__name__
        if said != self._said:  # once, not every minute
            log.warning("stored references cannot be read; those known stay", what=what, code=code, why=said)
        self._said = said


def _read(shelf: ReferenceShelf, known: Mapping[str, Held]) -> tuple[dict[str, Held], list[DeepTraceError]]:
    """Return what is in use now, reading only what changed, and what could not be read: there the known one stays."""
    marks = sorted(shelf.in_use(), key=lambda mark: (mark.tenant != OVERALL, mark.tenant))[:MAX_TENANTS]
    held = {mark.tenant: known[mark.tenant] for mark in marks if mark.tenant in known}
    failed: list[DeepTraceError] = []
    for mark in marks:
        if mark.tenant in held and held[mark.tenant].mark == mark.mark:
            continue
        try:
            held[mark.tenant] = Held(mark.mark, reference_of(shelf.current(mark.tenant)))
        except StoreUnavailable as error:
            failed.append(error)
            if len(failed) >= MAX_FAILED:
                break
        except DeepTraceError as error:
            failed.append(error)
    return held, failed


def reference_of(stored: DriftReference) -> Reference:
    """Return a stored reference as windows are compared with it."""
    return Reference(
        shares=dict(stored.shares),
        corrected=None if stored.corrected is None else dict(stored.corrected),
        version=stored.version,
        profile=stored.profile,
    )
