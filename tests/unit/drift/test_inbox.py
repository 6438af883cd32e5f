"""Batches of observations."""

import asyncio

from streams.drift.inbox import Inbox


async def test_a_full_batch_does_not_wait() -> None:
    """As many as a batch holds come at once, in order; the rest stays."""
    inbox = Inbox[int](max_batch=2, batch_wait_s=3600)
    filling = asyncio.gather(*(inbox.put(number) for number in range(3)))
    assert await inbox.batch(idle_s=3600) == [0, 1]
    await filling


async def test_a_batch_that_does_not_fill_comes_after_its_wait() -> None:
    """The first item is not kept waiting for others."""
    inbox = Inbox[int](max_batch=100, batch_wait_s=0.01)
    await inbox.put(1)
    assert await inbox.batch(idle_s=3600) == [1]


async def test_an_idle_inbox_gives_an_empty_batch() -> None:
    """So that windows can close when nothing comes."""
    assert await Inbox[int]().batch(idle_s=0.01) == []


async def test_a_full_inbox_makes_the_sender_wait() -> None:
    """Memory is bounded by a batch."""
    inbox = Inbox[int](max_batch=1, batch_wait_s=0.01)
    await inbox.put(1)
    waiting = asyncio.create_task(inbox.put(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await inbox.batch(idle_s=1) == [1]
    await waiting


async def test_heavy_items_fill_a_batch_sooner() -> None:
    """A batch is full by what its items weigh, not by their number."""
    inbox = Inbox[str](max_batch=10, batch_wait_s=3600)
    filling = asyncio.gather(inbox.put("light"), inbox.put("heavy", weight=9), inbox.put("next"))
    assert await inbox.batch(idle_s=3600) == ["light", "heavy"]
    await filling
