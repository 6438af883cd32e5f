"""How far event time has come for one tenant."""

from dataclasses import dataclass


@dataclass(slots=True)
class Watermark:
    """Follows the newest event at a distance of the allowed lateness, and never goes back.

    >>> mark = Watermark(lateness_ms=60_000)
    >>> mark.follow(500_000, seen_ms=700_000)
    >>> mark.at_ms
    440000
    >>> mark.follow(100_000, seen_ms=700_000)  # an older event
    >>> mark.at_ms
    440000
    >>> mark.follow(900_000, seen_ms=700_000)  # from a clock that is ahead
    >>> mark.at_ms
    640000
    """

    lateness_ms: int
    at_ms: int = 0

    def follow(self, event_ms: int, *, seen_ms: int) -> None:
        """Take note of an event whose record was written at `seen_ms`; a time ahead of that must not close windows early."""
        self.at_ms = max(self.at_ms, min(event_ms, seen_ms) - self.lateness_ms)

    def reached(self, now_ms: int, *, silent: bool) -> int:
        """Return the moment before which nothing is waited for; in silence, the clock takes the place of events."""
        return max(self.at_ms, now_ms - self.lateness_ms) if silent else self.at_ms
