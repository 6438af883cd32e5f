"""Whether anybody looks at the page. What is costly to follow is followed only then, and for a while after."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

LASTS_S: Final = 900.0
LOOK_S: Final = 1.0


class Attention:
    """Given by each request, and lasting a quarter of an hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = 0.0
        self._given = asyncio.Event()

    def give(self) -> None:
        """Take note that somebody looks."""
        self._until = self._clock() + LASTS_S
        self._given.set()

    @property
    def is_given(self) -> bool:
        """Whether somebody looked not long ago."""
        return self._clock() < self._until

    async def given(self) -> None:
        """Wait until somebody looks."""
        while not self.is_given:
            self._given.clear()
            await self._given.wait()
