"""Micro-batching: one inference thread, and while it works the next batch gathers.

No timer: when a slot frees, the batch is everything that is waiting, up to the largest size. A fixed wait only adds latency while
decoding feeds the queue, and an idle worker judges a single image at once (PERFORMANCE figures in DECISIONS.md).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from schemas.errors import DependencyDown, DeviceLost, InferenceFailed

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Judge = Callable[[Sequence[Item]], Sequence[Answer]]

log = structlog.get_logger(__name__)

GROW_AFTER = 16  # full batches that went well in a row before a larger one is tried again


@dataclass(frozen=True, slots=True)
class Judged(Generic[Answer]):
    """The answer for one item, and how the batch went that it was part of."""

    answer: Answer
    batch_size: int
    seconds: float


@dataclass(slots=True)
class _Waiting(Generic[Item, Answer]):
    item: Item
    future: "asyncio.Future[Judged[Answer]]"


class SafeBatch:
    """Remembers how many images go together: halved when a batch was too large, one more after `GROW_AFTER` full ones that went well.

    A batch was too large when it failed and no image of it failed alone; where one does, the image is at fault, not the size.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._good = 0
        self.size = most

    def note(self, items: int, *, failed: bool, culprits: int) -> None:
        """Note how a batch of so many items went, and how many of them failed alone."""
        if failed and items > 1 and not culprits:
            self.size, self._good = max(1, min(self.size, items) // 2), 0
            log.warning("batch too large", images=items, safe=self.size)
        elif not failed and items >= self.size < self._most:
            self._good += 1
            if self._good >= GROW_AFTER:
                self.size, self._good = self.size + 1, 0


def judge_bisecting(
    judge: Judge[Item, Answer], items: Sequence[Item], safe: SafeBatch | None = None
) -> list[Answer | Exception]:
    """Return an answer or an error for each item, in order: one bad item costs only itself.

    A batch that fails is halved until the item stands alone that fails alone; it gets `InferenceFailed`. `DeviceLost` and
    `DependencyDown` concern every item alike and are not bisected. `safe` hears how each batch went.
    """
    answers, failed = _bisect(judge, items)
    if safe is not None:
        safe.note(len(items), failed=failed, culprits=sum(isinstance(answer, InferenceFailed) for answer in answers))
    return answers


def _bisect(judge: Judge[Item, Answer], items: Sequence[Item]) -> tuple[list[Answer | Exception], bool]:
    """Return the answers, and whether the batch failed as a whole."""
    try:
        answers = [
            answer for _, answer in zip(items, judge(items), strict=True)
        ]  # strict: a missing answer is a failure
    except (DeviceLost, DependencyDown) as lost:
        return [lost] * len(items), False
    except Exception as error:  # noqa: BLE001  # whatever the model raises must not take its batch mates along
        if len(items) == 1:
            failed = InferenceFailed("the model failed on this image", why=type(error).__name__)
            failed.__cause__ = error
            return [failed], True
        middle = len(items) // 2
        return _bisect(judge, items[:middle])[0] + _bisect(judge, items[middle:])[0], True
    return list(answers), False


class MicroBatcher(Generic[Item, Answer]):
    """Gathers single items into batches for `judge`, which is only ever called from one thread: its own, or that of `beside`.

    At most `depth` batches are in flight, so that the thread finds its next batch ready when it is done with one.
    """

    def __init__(
        self,
        judge: Judge[Item, Answer],
        *,
        max_batch: int,
        depth: int = 2,
        beside: "MicroBatcher[Any, Any] | None" = None,
    ) -> None:
        """Take `beside` where two kinds of work go to one device: their batches take turns. It is to be closed after this one."""
        self._judge = judge
        self._safe = SafeBatch(max_batch)
        self._free_slots = depth
        self._waiting: deque[_Waiting[Item, Answer]] = deque()
        self._owns_thread = beside is None
        self.thread: ThreadPoolExecutor = (
            beside.thread if beside else ThreadPoolExecutor(1, thread_name_prefix="inference")
        )
        self._batches: set[asyncio.Task[None]] = set()

    @property
    def safe_batch(self) -> int:
        """How many items go together just now."""
        return self._safe.size

    async def submit(self, item: Item) -> Judged[Answer]:
        """Return the answer for `item`.

        Raises:
            InferenceFailed: the model failed on this item alone.
            DeviceLost: the device is gone, and this process gets no other.
            DependencyDown: something the model needs is away.
        """
        future: asyncio.Future[Judged[Answer]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, future))
        self._dispatch()
        return await future

    def _dispatch(self) -> None:
        while self._free_slots and (batch := self._next_batch()):
            self._free_slots -= 1
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    def _next_batch(self) -> list[_Waiting[Item, Answer]]:
        """Take what waits, up to the largest size; nothing for submitters that were cancelled meanwhile."""
        batch: list[_Waiting[Item, Answer]] = []
        while self._waiting and len(batch) < self._safe.size:
            waiting = self._waiting.popleft()
            if not waiting.future.done():
                batch.append(waiting)
        return batch

    async def _run(self, batch: list[_Waiting[Item, Answer]]) -> None:
        try:
            items = [waiting.item for waiting in batch]
            answers, seconds = await asyncio.get_running_loop().run_in_executor(self.thread, self._timed, items)
        finally:
            self._free_slots += 1
            self._dispatch()
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.future.done():  # its submitter was cancelled while it was judged
                continue
            if isinstance(answer, Exception):
                waiting.future.set_exception(answer)
            else:
                waiting.future.set_result(Judged(answer, len(batch), seconds))

    def _timed(self, items: list[Item]) -> tuple[list[Answer | Exception], float]:
        start = time.perf_counter()
        answers = judge_bisecting(self._judge, items, self._safe)
        return answers, time.perf_counter() - start

    async def close(self) -> None:
        """Finish what was submitted, then end the thread, unless it is another's."""
        while self._batches:
            await asyncio.gather(*self._batches)
        if self._owns_thread:
            self.thread.shutdown()
