"""Looks outcomes up for labels: in threads, waiting while the store is away, and for a bounded time where there is no outcome yet."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal

import structlog

from schemas.errors import (
    ObjectNotFound,
    Rejection,
    StoreUnavailable,
    Transient,
)
from schemas.settled import MAX_BYTES, object_key
from streams.gate import backoff_s
from streams.objects import Objects
from streams.outcomes import Outcome, stored_outcome
from streams.settings import PipelineSettings

AT_ONCE: Final = 8
NOBODY: Final = "0" * 40
"""An id that no reference has: whoever is told that it is not there may read the archive."""

log = structlog.get_logger(__name__)


class Outcomes:
    """The settled outcomes of one bucket, by id."""

    def __init__(
        self,
        objects: Objects,
        bucket: str,
        settings: PipelineSettings,
        *,
        wait_s: float,
        on_wait: Callable[[str], None] = lambda _code: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the store's bucket; `wait_s` is how old a label may get before its outcome is there."""
        self._objects = objects
        self._bucket = bucket
        self._settings = settings
        self._wait_s = wait_s
        self._on_wait = on_wait
        self._clock = clock
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def check(self) -> str | None:
        """Return why outcomes cannot be read here, or None when they can."""
        try:
            await self._objects.read(self._bucket, object_key(NOBODY), max_bytes=MAX_BYTES)
        except ObjectNotFound:
            return None
        except (StoreUnavailable, Transient, Rejection) as error:
            return f"{error} ({error.code})"
        return None

    async def find(
        self, outcome_id: str, *, asked_at: datetime
    ) -> Outcome | Literal["unmatched", "outcome_unreadable"]:
        """Return the outcome. Where there is none, look again until what was `asked_at` that moment is `wait_s` old.

        A store that is away, or refuses, is waited for without end: a label that was not joined is not committed.
        """
        failures = 0
        while True:
            try:
                async with self._slots:
                    data = await self._objects.read(self._bucket, object_key(outcome_id), max_bytes=MAX_BYTES)
                return stored_outcome(data, outcome_id)
            except ObjectNotFound as error:
                if self._clock() - asked_at.timestamp() >= self._wait_s:
                    return "unmatched"
                self._on_wait(error.code)
            except (StoreUnavailable, Transient) as error:
                self._on_wait(error.code)
                if not failures:
                    log.warning("outcome not to be had", code=error.code, why=error.why or error.message)
            except Rejection:
                return "outcome_unreadable"
            await asyncio.sleep(backoff_s(self._settings, failures))
            failures += 1
