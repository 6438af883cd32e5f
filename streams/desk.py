"""What a worker has in hand: so many references at once, acknowledged in order, and let go when their partitions are taken away.

Knows no Faust: a handle stands for a delivery, `acknowledge` and `forget` are what can be done with one.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

import structlog

from streams.admission import Admission
from streams.ledger import Entry, Ledger
from streams.pipeline import Delivery

Handle = TypeVar("Handle")
Work = Callable[[Entry[Handle], Delivery], Awaitable[None]]

UNACKNOWLEDGED_PER_SLOT = 32
LOOK_AGAIN_S = 10.0
log = structlog.get_logger(__name__)


class Desk(Generic[Handle]):
    """Works on at most `in_flight` deliveries at once, in whatever order they finish."""

    def __init__(
        self,
        work: Work[Handle],
        *,
        ledger: Ledger[Handle],
        admission: Admission,
        forget: Callable[[Handle], object],
        in_flight: int,
    ) -> None:
        """Make an empty desk.

        Args:
            work: settles one delivery and finishes its entry in the ledger.
            ledger: what was delivered, in order.
            admission: whether anything is taken in.
            forget: hears of each delivery that will never be acknowledged by this process.
            in_flight: deliveries worked on at once.
        """
        self._work = work
        self._ledger = ledger
        self._admission = admission
        self._forget = forget
        self._slots = asyncio.Semaphore(in_flight)
        # Behind a reference that waits, finished ones pile up unacknowledged: so many, then the intake waits.
        self._most_unacknowledged = UNACKNOWLEDGED_PER_SLOT * in_flight
        self._moved = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], Entry[Handle]] = {}
        self._let_go = asyncio.Event()
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.finished = 0

    @property
    def in_hand(self) -> int:
        """How many deliveries are being worked on."""
        return len(self._tasks)

    async def take(self, entry: Entry[Handle], delivery: Delivery) -> None:
        """Start on a delivery; waits for a free slot. Cannot raise: what goes wrong is the desk's `failure`."""
        try:
            await self._slots.acquire()
            while self._ledger.unfinished > self._most_unacknowledged and self._ledger.is_current(entry):
                self._moved.clear()
                await self._moved.wait()
            await self._granted(entry)
        except Exception as error:  # noqa: BLE001  # the agent that calls must not end: Faust would go on with the next record
            self.fail(error)
            return
        if not self._ledger.is_current(entry):  # taken away while it waited: somebody has it anew
            self._slots.release()
            return
        task = asyncio.create_task(self._settle(entry, delivery))
        self._tasks[task] = entry
        task.add_done_callback(self._ended)  # also of one that is cancelled before its first step

    async def due(self, entry: Entry[Handle], moment: datetime) -> bool:
        """Wait until `moment`; return False as soon as the entry is let go."""
        while self._ledger.is_current(entry) and (left_s := (moment - datetime.now(UTC)).total_seconds()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, LOOK_AGAIN_S)):  # clocks are set
                    await self._let_go.wait()
        return self._ledger.is_current(entry)

    async def let_go(self, grace_s: float) -> None:
        """Give what is in hand `grace_s` to finish, and forget the rest: its partitions go to somebody, who gets it anew.

        While nothing is taken in there is no use in waiting: what is in hand waits for the same.
        """
        lanes = self._ledger.lanes()
        # Not for those that were let go before and have not ended yet: nobody waits for them, and we must be done when Faust is.
        tasks = {task for task, entry in self._tasks.items() if self._ledger.is_current(entry)}
        ends_at = time.monotonic() + grace_s
        while tasks and time.monotonic() < ends_at and not self._admission.refusals and not self.failure.done():
            _, tasks = await asyncio.wait(tasks, timeout=min(0.1, grace_s))
        dropped = self._ledger.drop(lanes)
        for task, entry in self._tasks.items():
            if not self._ledger.is_current(entry):
                task.cancel()
        for handle in dropped:
            self._forget(handle)
        waiting, self._let_go = self._let_go, asyncio.Event()
        waiting.set()
        self._moved.set()
        if dropped:
            log.info("deliveries let go", count=len(dropped))

    def turn_away(self, handle: Handle) -> None:
        """Do nothing with a delivery that comes while partitions are taken away: it is made anew, to whoever gets them."""
        self._forget(handle)

    def fail(self, error: BaseException) -> None:
        """Note what the worker cannot go on after; the first stays."""
        if not self.failure.done():
            self.failure.set_result(error)

    async def _granted(self, entry: Entry[Handle]) -> None:
        """Wait for admission, or until the entry is let go."""
        while self._admission.refusals and self._ledger.is_current(entry):
            granted = asyncio.ensure_future(self._admission.granted())
            let_go = asyncio.ensure_future(self._let_go.wait())
            try:
                await asyncio.wait({granted, let_go}, return_when=asyncio.FIRST_COMPLETED)
                if granted.done():
                    await granted
            finally:
                granted.cancel()
                let_go.cancel()

    async def _settle(self, entry: Entry[Handle], delivery: Delivery) -> None:
        try:
            await self._work(entry, delivery)
            self.finished += 1
        except Exception as error:  # noqa: BLE001  # not one of our failure classes: nothing is acknowledged, the worker ends
            self.fail(error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._slots.release()
        self._moved.set()
