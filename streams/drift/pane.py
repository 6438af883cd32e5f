"""An open pane: the rows of its images, in segments that the table gets as they grow."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from schemas.observations import MAX_BATCH_REJECTS
from streams.drift.aggregate import Aggregate, SampleSizes, aggregate_of
from streams.drift.rows import Rows, fits, joined

SEGMENT_ROWS = 1024
MAX_PANE_ROWS = 64 * SEGMENT_ROWS
"""A pane that holds more folds the older half of what the table has: it is counted then, and no longer recognised when it is repeated."""


@dataclass(slots=True)
class Pane:
    """The images between `start_ms` and the next pane. Rows are numbered from 0 in the order of their coming; `folded` has the first `folded_rows`.

    `segments` hold the rest; the first has the number `first`. The table has all up to `saved_rows`.
    """

    start_ms: int
    folded: Aggregate = field(default_factory=Aggregate)
    folded_rows: int = 0
    first: int = 0
    segments: list[Rows] = field(default_factory=list)
    rows: int = 0
    saved_rows: int = 0
    unsaved_from: int = 0
    """How many of `segments` the table has wholly."""
    heard_ms: int = 0
    _rejects: list[int] = field(default_factory=list)

    def add(self, rows: Rows, *, max_rejects: int, now_ms: int) -> None:
        """Take in images that are new."""
        self.heard_ms = now_ms
        self.rows += len(rows)
        rows = self._with_few_rejects(rows, max_rejects)
        if self.segments and _share_a_segment(self.segments[-1], rows):
            self.segments[-1] = joined([self.segments[-1], rows])
            self.unsaved_from = min(self.unsaved_from, len(self.segments) - 1)
        else:
            self.segments.append(rows)

    def restore_segment(self, segment: Rows, *, is_whole: bool) -> None:
        """Take over a segment from the table; one that is not whole is to be written again."""
        self.segments.append(segment)
        self.rows += len(segment)
        if is_whole:
            self.saved()
        self._rejects = [
            -one for one in sorted([*(-one for one in self._rejects), *segment.rejects])[:MAX_BATCH_REJECTS]
        ]
        heapq.heapify(self._rejects)

    def unsaved(self) -> Iterator[tuple[int, Rows]]:
        """Yield number and rows of each segment that the table has not, or not wholly."""
        for at in range(self.unsaved_from, len(self.segments)):
            yield self.first + at, self.segments[at]

    def saved(self) -> None:
        """Take note that the table has all segments."""
        self.saved_rows = self.rows
        self.unsaved_from = len(self.segments)

    def numbers(self) -> range:
        """Return the numbers of its segments."""
        return range(self.first, self.first + len(self.segments))

    def fold(self, sizes: SampleSizes) -> tuple[range, list[int]]:
        """Count and forget the older half of the segments that the table has; return their numbers, and the fingerprints that they held.

        The younger half stays: what comes again after a crash has come lately.
        """
        half = (self.unsaved_from + 1) // 2
        gone, self.segments = self.segments[:half], self.segments[half:]
        rows = joined_in_parts(gone)
        for part in rows:
            self.folded = self.folded.merged(aggregate_of(part, sizes), sizes)
        self.folded_rows += sum(len(part) for part in rows)
        numbers = range(self.first, self.first + len(gone))
        self.first, self.unsaved_from = numbers.stop, self.unsaved_from - half
        return numbers, [one for part in rows for one in part.fingerprints()]

    def aggregate(self, sizes: SampleSizes) -> Aggregate:
        """Return what all images of the pane add up to."""
        total = self.folded
        for part in joined_in_parts(self.segments):
            total = total.merged(aggregate_of(part, sizes), sizes)
        return total

    def fingerprints(self) -> Iterator[int]:
        """Yield the fingerprints of the images that were not folded."""
        for segment in self.segments:
            yield from segment.fingerprints()

    def _with_few_rejects(self, rows: Rows, most: int) -> Rows:
        """Leave out rejects that cannot be among the smallest of the pane: each is some hundred bytes."""
        if not rows.rejects:
            return rows
        kept = {}
        for fingerprint in sorted(rows.rejects):
            if len(self._rejects) < most:
                heapq.heappush(self._rejects, -fingerprint)
            elif self._rejects and fingerprint < -self._rejects[0]:
                heapq.heapreplace(self._rejects, -fingerprint)
            else:
                break
            kept[fingerprint] = rows.rejects[fingerprint]
        return Rows(rows.table, rows.models, rows.sources, kept)


def joined_in_parts(segments: Sequence[Rows]) -> list[Rows]:
    """Return all rows in as few parts as common codes allow."""
    parts: list[list[Rows]] = []
    for segment in segments:
        if parts and fits([*parts[-1], segment]):
            parts[-1].append(segment)
        else:
            parts.append([segment])
    return [joined(part) for part in parts]


def _share_a_segment(last: Rows, rows: Rows) -> bool:
    return (
        len(last) + len(rows) <= SEGMENT_ROWS
        and len(last.rejects) + len(rows.rejects) <= MAX_BATCH_REJECTS
        and fits([last, rows])
    )
