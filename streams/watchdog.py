"""Notices that nothing is finished any more although there is something to do, and says where everything hangs.

Several known faults of the libraries leave a consumer that looks alive and delivers nothing; only a new process helps then.
"""

import asyncio
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from schemas.errors import DependencyDown, NoProgress

log = structlog.get_logger(__name__)

TICKS = 12  # looks in the time that a worker may stall
EXIT_STALLED = 70


class Watchdog:
    """Watches progress from the event loop, and the event loop from a thread."""

    def __init__(
        self,
        *,
        stall_s: float,
        finished: Callable[[], int],
        held_up: Callable[[], bool],
        has_work: Callable[[], Awaitable[bool]],
    ) -> None:
        """Make a watchdog that has seen progress just now.

        Args:
            stall_s: so long without progress is a stall.
            finished: how many references were finished so far.
            held_up: whether something known keeps the worker from finishing any.
            has_work: whether references wait; may ask the broker, and raise DependencyDown when that does not answer.
        """
        self._stall_s = stall_s
        self._tick_s = stall_s / TICKS
        self._finished = finished
        self._held_up = held_up
        self._has_work = has_work
        self._seen = -1
        self._progress_at = time.monotonic()
        self._ticked_at = time.monotonic()
        self._ended = threading.Event()
        self._why: str | None = None

    @property
    def why_not_ready(self) -> str | None:
        """Return what is wrong once half the time of a stall has gone by without progress, else None."""
        return self._why

    async def stalled(self) -> NoProgress:
        """Return once nothing was finished for `stall_s` though references wait and nothing known holds the worker up."""
        threading.Thread(target=self._watch_loop, name="watchdog", daemon=True).start()
        try:
            while True:
                await asyncio.sleep(self._tick_s)
                if await self._is_stalled():
                    quiet_s = round(time.monotonic() - self._progress_at)
                    log.error("no progress", quiet_s=quiet_s, tasks=_task_stacks())
                    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
                    return NoProgress(
                        "the worker makes no progress",
                        why=f"references wait, and none was finished for {quiet_s} s",
                        remedy="The supervisor restarts it; if it comes again, report the stacks in the log.",
                    )
        finally:
            self._ended.set()

    async def _is_stalled(self) -> bool:
        now = time.monotonic()
        was_suspended = now - self._ticked_at > 4 * self._tick_s  # the whole process stood still, not its work
        self._ticked_at = now
        finished = self._finished()
        if finished != self._seen or was_suspended or self._held_up():
            self._seen, self._progress_at, self._why = finished, now, None
            return False
        quiet_s = now - self._progress_at
        if quiet_s < self._stall_s / 2:
            return False
        if not await self._references_wait():
            self._progress_at, self._why = time.monotonic(), None
            return False
        self._why = f"references wait, and none was finished for {quiet_s:.0f} s"
        return quiet_s >= self._stall_s

    async def _references_wait(self) -> bool:
        """Ask whether they do. A broker that does not answer is down: known, and waited for."""
        asking = asyncio.ensure_future(self._has_work())
        ends_at = time.monotonic() + self._stall_s
        try:
            while not asking.done() and time.monotonic() < ends_at:
                await asyncio.wait({asking}, timeout=self._tick_s)
                self._ticked_at = time.monotonic()  # however long it takes, the event loop is not blocked
            return asking.done() and asking.result()
        except DependencyDown:
            return False
        finally:
            asking.cancel()

    def _watch_loop(self) -> None:
        """End the process when its event loop is blocked: nothing else could."""
        last_look = time.monotonic()
        while not self._ended.wait(self._tick_s):
            now = time.monotonic()
            suspended, last_look = now - last_look > 4 * self._tick_s, now
            if suspended:
                self._ticked_at = now
            elif now - self._ticked_at > 2 * self._stall_s:
                faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
                os._exit(EXIT_STALLED)


def _task_stacks() -> list[str]:
    """Return where each task waits: places in the code, innermost last, and nothing of what it works on."""
    stacks = []
    for task in asyncio.all_tasks():
        frames = [f"{Path(f.f_code.co_filename).name}:{f.f_lineno}:{f.f_code.co_name}" for f in task.get_stack()]
        stacks.append(" > ".join(frames))
    return sorted(stacks)
