"""Follows the topics into the tally while the rest of the demo goes on, and waits for what must come."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from streams.demo.tally import TALLIED, Tally
from streams.settings import KafkaSettings
from streams.topic_reader import read_topics

_LOOK_AGAIN_S = 0.25


class Follower:
    """Reads every record of the topics from the beginning, within `async with`."""

    def __init__(self, settings: KafkaSettings, tally: Tally) -> None:
        self._settings = settings
        self._tally = tally
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})

    async def until(self, done: Callable[[], bool], *, stalled_after_s: float, check: Callable[[], None]) -> bool:
        """Wait until `done()`; return False when no record has come for `stalled_after_s`.

        `check` is called again and again, to raise when waiting is pointless. Raises what reading the topics raises.
        """
        assert self._reader is not None, "only within `async with`"
        last = time.monotonic()
        while not done():
            if self._reader.done():
                self._reader.result()
            check()
            if time.monotonic() - last > stalled_after_s:
                return False
            try:
                await asyncio.wait_for(self._changed.wait(), _LOOK_AGAIN_S)
            except TimeoutError:
                continue
            self._changed.clear()
            last = time.monotonic()
        return True

    async def _read(self) -> None:
        async for record in read_topics(self._settings, TALLIED, follow=True):
            self._tally.note(record)
            self._changed.set()
