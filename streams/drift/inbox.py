"""Gathers delivered observations into batches, so that the table is written once a batch and not once an image."""

import asyncio
from typing import Generic, TypeVar

Item = TypeVar("Item")

MAX_BATCH = 1024
BATCH_WAIT_S = 0.5


class Inbox(Generic[Item]):
    """A bounded queue that is emptied in batches, in order."""

    def __init__(self, *, max_batch: int = MAX_BATCH, batch_wait_s: float = BATCH_WAIT_S) -> None:
        self._queue: asyncio.Queue[Item] = asyncio.Queue(maxsize=max_batch)
        self._max_batch = max_batch
        self._batch_wait_s = batch_wait_s

    async def put(self, item: Item) -> None:
        """Add an item; waits while a whole batch is waiting already."""
        await self._queue.put(item)

    async def batch(self, *, idle_s: float) -> list[Item]:
        """Return the next batch: it is full, or its first item has waited long enough. Empty when none came for `idle_s`."""
        items: list[Item] = []
        try:
            async with asyncio.timeout(idle_s):
                items.append(await self._queue.get())
            async with asyncio.timeout(self._batch_wait_s):
                while len(items) < self._max_batch:
                    items.append(await self._queue.get())
        except TimeoutError:
            pass
        return items
