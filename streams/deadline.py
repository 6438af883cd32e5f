"""Waiting for something that may never end, be it cancelled: several `stop()` of the libraries swallow cancellation."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def ends_within(work: Coroutine[Any, Any, object], seconds: float) -> bool:
    """Run `work`; return whether it ended in time. What did not is cancelled and left behind, never waited for.

    Unlike `asyncio.wait_for`, which waits until the cancelled work agrees to end. An error of `work` is raised.
    """
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        task.cancel()
        return False
    await task
    return True
