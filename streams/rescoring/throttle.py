"""At most so many a second: a replay must leave the store and the machine to those who wait for a verdict."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final

from schemas.errors import UsageError

_RATE: Final = re.compile(r"(?P<number>\d{1,9}(\.\d{1,3})?)(/(?P<unit>[smh]))?", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_CRUMB: Final = 1e-9  # of a token, lost in adding floats


def parse_rate(text: str) -> float | None:
    """Return how many a second, or None for `max`.

    >>> parse_rate("30/m")
    0.5

    Raises:
        UsageError
    """
    found = _RATE.fullmatch(text)
    if text == "max":
        return None
    rate = float(found["number"]) / _SECONDS[found["unit"] or "s"] if found else 0.0
    if rate <= 0:
        raise UsageError(
            f"{text}: not a rate", remedy="Write images a second, minute or hour: 20/s, 300/m, 5000/h; or max."
        )
    return rate


class Throttle:
    """A bucket of tokens that fills at `rate` a second and holds one second's worth, at least one; without a rate it holds nobody up."""

    def __init__(
        self,
        rate: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._most = max(1.0, rate or 0.0)
        self._tokens = 1.0  # not a burst at the start
        self._clock = clock
        self._sleep = sleep
        self._filled_at: float | None = None  # it fills from the first on

    async def take(self) -> None:
        """Return when one more may begin."""
        if self._rate is None:
            return
        while True:
            now = self._clock()
            since = now if self._filled_at is None else self._filled_at
            self._tokens = min(self._most, self._tokens + (now - since) * self._rate)
            self._filled_at = now
            if self._tokens >= 1 - _CRUMB:
                self._tokens -= 1
                return
            await self._sleep((1 - self._tokens) / self._rate)
