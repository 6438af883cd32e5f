"""What a run asks of the past, whoever keeps it."""

from collections.abc import AsyncGenerator
from typing import Protocol

from schemas.incoming import Record
from streams.rescoring.counts import Places
from streams.rescoring.selection import Selection

Spans = dict[int, tuple[int, int]]
"""By partition: the first offset, and the one before which to end."""


class Past(Protocol):
    """Where the old verdicts lie, and how far we have come: `streams.rescoring.history.History` in a process."""

    async def marks(self) -> Places:
        """Return how far each partition has come; none where the replay was never begun."""
        ...

    async def spans(self, selection: Selection) -> Spans:
        """Return the offsets that there are to read of each partition."""
        ...

    async def beginnings(self) -> dict[int, int]:
        """Return the first offset of each partition that is still there."""
        ...

    def read(self, spans: Spans, *, patience_s: float) -> AsyncGenerator[tuple[int, list[Record]], None]:
        """Yield records of one partition at a time; an empty list once a partition is read out."""
        ...

    async def commit(self, places: Places) -> None:
        """Commit offsets with their marks."""


def without_expired(places: Places, beginnings: dict[int, int]) -> Places:
    """Go past what the broker has dropped since the last run, and count it: retention is faster than some replays."""
    found: Places = {}
    for number, (offset, mark) in places.items():
        lost = max(0, min(beginnings.get(number, 0), mark.end) - offset)
        found[number] = offset + lost, mark.model_copy(update={"expired": mark.expired + lost})
    return found


def left_of(places: Places) -> Spans:
    """Return what is still to be read."""
    return {number: (offset, mark.end) for number, (offset, mark) in places.items()}
