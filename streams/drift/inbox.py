"""Gathers delivered records into batches, so that a write to the broker is paid once a batch and not once an image."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")

MAX_BATCH = 1024
BATCH_WAIT_S = 0.5


class Inbox(Generic[Item]):
    """A bounded queue that is emptied in batches, in order, by one reader. Items have weights; a batch is full at `max_batch` of them together."""

    def __init__(self, *, max_batch: int = MAX_BATCH, batch_wait_s: float = BATCH_WAIT_S) -> None:
        self._items: deque[Item] = deque()
        self._weight = 0
        self._max_batch = max_batch
        self._batch_wait_s = batch_wait_s
        self._some, self._full, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def put(self, item: Item, *, weight: int = 1) -> None:
        """Add an item; waits while a whole batch is waiting already."""
        while self._weight >= self._max_batch:
            self._room.clear()
            await self._room.wait()
        self._items.append(item)
        self._weight += weight
        if len(self._items) == 1:
            self._some.set()
        if self._weight >= self._max_batch:
            self._full.set()

    async def batch(self, *, idle_s: float) -> list[Item]:
        """Return the next batch: it is full, or its first item has waited long enough. Empty when none came for `idle_s`."""
        if not await _within(self._some, idle_s):
            return []
        await _within(self._full, self._batch_wait_s)
        items = list(self._items)
        self._items.clear()
        self._weight = 0
        self._some.clear()
        self._full.clear()
        self._room.set()
        return items


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
