"""How many messages may go out in a minute."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

MINUTE_S: Final = 60.0


class Pace:
    """At most `per_minute` in any minute.

    >>> now = [0.0]
    >>> pace = Pace(2, clock=lambda: now[0])
    >>> pace.note(); pace.note()
    >>> pace.left
    0
    >>> now[0] = 60.0
    >>> pace.left
    2
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._sent: deque[float] = deque()

    @property
    def left(self) -> int:
        """How many may go out now."""
        while self._sent and self._clock() - self._sent[0] >= MINUTE_S:
            self._sent.popleft()
        return self._per_minute - len(self._sent)

    def note(self) -> None:
        """Count one that went out."""
        self._sent.append(self._clock())
