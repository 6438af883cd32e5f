"""What has come of a replay so far: counted by partition, exactly up to the offset that goes with it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streams.ledger import Entry, Ledger
from streams.rescoring.terms import Mark

REPLAYED: Final = "replayed"
LEFT_OUT: Final = "left_out"
REPEATED: Final = "repeated"
UNREADABLE: Final = "unreadable"
NAMED: Final = (REPLAYED, LEFT_OUT, REPEATED, UNREADABLE)
"""Results with a field of their own in a mark; any other is the code of an error."""
_TOPIC: Final = ""  # for the ledger: there is one

Places = dict[int, tuple[int, Mark]]
"""By partition: the offset that comes next, and its mark."""


@dataclass(slots=True)
class Step:
    """One record of the range, and once it is finished what became of it."""

    partition: int
    offset: int
    result: str = ""


class Counts:
    """Records finish out of order; an offset, and the counts beside it, move on only past what is finished without a gap."""

    def __init__(self, found: Places) -> None:
        """Go on from these places."""
        self._at = {partition: offset for partition, (offset, _) in found.items()}
        self._marks = {partition: mark for partition, (_, mark) in found.items()}
        self._counts = {partition: _counter(mark) for partition, (_, mark) in found.items()}
        self._under_way = Counter[int]()
        self._read = {partition for partition, (offset, mark) in found.items() if offset >= mark.end}
        self._ledger = Ledger[Step](self._pass)

    def register(self, partition: int, offset: int) -> Entry[Step]:
        """Take note of a record, in the order of its partition."""
        self._under_way[partition] += 1
        return self._ledger.register(_TOPIC, partition, 0, offset, Step(partition, offset))

    def finish(self, entry: Entry[Step], result: str) -> None:
        """Say what became of a record."""
        entry.handle.result = result
        self._ledger.finish(entry)

    def read_out(self, partition: int) -> None:
        """Note that nothing is left to be read of a partition: behind its last record there may be offsets without one."""
        self._read.add(partition)

    def places(self, *, run: str, beat: int, is_open: bool) -> Places:
        """Return what is to be committed."""
        return {
            partition: (self._offset(partition), self._mark(partition, run, beat, is_open=is_open))
            for partition in self._at
        }

    def total(self) -> Counter[str]:
        """Return the results so far, of all partitions together."""
        total = Counter[str]()
        for counts in self._counts.values():
            total.update(counts)
        return +total

    @property
    def expired(self) -> int:
        """How many offsets the broker dropped before they were read."""
        return sum(mark.expired for mark in self._marks.values())

    @property
    def is_complete(self) -> bool:
        """Whether every partition has come to the end of its range."""
        return all(self._offset(partition) >= mark.end for partition, mark in self._marks.items())

    def _offset(self, partition: int) -> int:
        done = partition in self._read and not self._under_way[partition]
        return self._marks[partition].end if done else self._at[partition]

    def _pass(self, step: Step) -> None:
        self._at[step.partition] = step.offset + 1
        self._under_way[step.partition] -= 1
        self._counts[step.partition][step.result] += 1

    def _mark(self, partition: int, run: str, beat: int, *, is_open: bool) -> Mark:
        counts = self._counts[partition]
        failed = {code: count for code, count in sorted(counts.items()) if code not in NAMED and count}
        changed = {
            "run": run,
            "beat": beat,
            "is_open": is_open,
            "failed": failed,
            **{name: counts[name] for name in NAMED},
        }
        return self._marks[partition].model_copy(update=changed)


def finished(results: Mapping[str, int]) -> int:
    """Return how many of the counted records were ones to judge again, with whatever result."""
    return sum(count for result, count in results.items() if result not in {LEFT_OUT, REPEATED, UNREADABLE})


def _counter(mark: Mark) -> Counter[str]:
    return Counter({**{name: getattr(mark, name) for name in NAMED}, **mark.failed})
