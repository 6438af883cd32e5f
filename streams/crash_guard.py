"""Ends a crash loop: what was in flight at two deaths of this worker is judged alone, at three it is a dead letter.

Judged alone, nothing else is in flight: a third death leaves one suspect, and its neighbours are cleared.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from schemas.errors import ConfigError, CrashSuspect, DependencyDownTooLong, Rejection, Transient
from streams.crash_journal import CrashJournal

ALONE_AT = 2
REFUSED_AT = 3
MOST_SUSPECTS = 5
LOOK_AGAIN_S = 1.0
log = structlog.get_logger(__name__)


class Solo:
    """Many may be in at once, or one alone; who wants to be alone keeps newcomers out until it had its turn."""

    def __init__(self) -> None:
        self._inside = 0
        self._alone_wanted = 0
        self._alone = False
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Be in beside others."""
        if self._alone_wanted or self._alone:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._alone and not self._alone_wanted)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            if self._alone_wanted:
                await self._notify()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Be in with nobody beside."""
        self._alone_wanted += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._alone and not self._inside)
            self._alone = True
        finally:
            self._alone_wanted -= 1
            if not self._alone:
                await self._notify()
        try:
            yield
        finally:
            self._alone = False
            await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class CrashGuard:
    """Keeps the journal around whatever is done with a reference."""

    def __init__(self, journal: CrashJournal | None) -> None:
        self._journal = journal
        self._solo = Solo()
        self.holding = 0
        """Suspects that wait because too many came in a row."""

    @asynccontextmanager
    async def around(self, outcome_id: str) -> AsyncIterator[None]:
        """Let the block work on the reference, alone where it was in flight at two crashes.

        A block that raises what no reference may raise leaves it in flight: the worker ends of it, and that is a crash.

        Raises:
            CrashSuspect: it was in flight at three.
        """
        journal = self._journal
        if journal is None:
            yield
            return
        crashes = journal.crashes(outcome_id)
        if crashes >= REFUSED_AT:
            await self._not_too_many(journal)
            raise CrashSuspect(  # its count stays: should this process die before the dead letter is out, it is still known
                "the worker died while it worked on this reference",
                why=f"{crashes} times, the last time with nothing beside it",
                remedy="Look at the image in a safe place; `deeptrace dlq replay` tries it again.",
            )
        if crashes >= ALONE_AT:
            log.warning("judged alone", outcome_id=outcome_id, crashes=crashes)
        async with self._solo.alone() if crashes >= ALONE_AT else self._solo.shared():
            journal.begin(outcome_id)
            try:
                yield
            except (Rejection, Transient):
                journal.end(outcome_id)
                raise
            except (asyncio.CancelledError, DependencyDownTooLong, ConfigError):
                journal.end(outcome_id, cleared=False)
                raise
            else:
                journal.end(outcome_id)
                journal.clear_suspicion()

    async def _not_too_many(self, journal: CrashJournal) -> None:
        """Count one more suspect. A worker that dies of everything is at fault itself: after a few it must judge one reference first."""
        self.holding += 1
        try:
            while journal.suspects_in_a_row >= MOST_SUSPECTS:
                if self.holding == 1:
                    log.error("references that ended the worker wait for one that does not", suspects=MOST_SUSPECTS)
                await asyncio.sleep(LOOK_AGAIN_S)
        finally:
            self.holding -= 1
        journal.suspect()
