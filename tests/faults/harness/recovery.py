"""How long a fault is felt: from the moment its cause is gone until outcomes come again, and until nothing is behind any more."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Recovery:
    """After one fault, in seconds since its cause was gone. None: nothing was waiting then, or it has not come yet."""

    fault: str
    at: float
    before: int
    waiting: set[int] = field(default_factory=set)
    behind: int = 0
    interrupted: bool = False
    first_s: float | None = None
    all_partitions_s: float | None = None
    caught_up_s: float | None = None

    def to_json(self) -> dict[str, object]:
        """Return what a result keeps."""
        return {
            "fault": self.fault,
            "interrupted": self.interrupted,
            "first_s": _rounded(self.first_s),
            "all_partitions_s": _rounded(self.all_partitions_s),
            "caught_up_s": _rounded(self.caught_up_s),
        }


class Clock:
    """Follows what was accepted and what has an outcome, on one monotonic clock. Times are arguments: nothing here looks at a clock.

    `silence_s` is the longest time without a first outcome of any reference while at least one was waiting for its own.
    """

    def __init__(self) -> None:
        self.recoveries: list[Recovery] = []
        self.silence_s = 0.0
        self.behind_max = 0
        self._order: dict[str, int] = {}
        self._partition: dict[str, int] = {}
        self._accepted_at: dict[str, float] = {}
        self._settled_at: dict[str, float] = {}
        self._waiting_in: Counter[int] = Counter()
        self._behind = 0
        self._quiet_since = 0.0

    @property
    def behind(self) -> int:
        """How many accepted references have no outcome yet."""
        return self._behind

    def latency(self, reference: str) -> float:
        """Return the seconds from a reference's acknowledgement to its first outcome; both must have been."""
        return max(0.0, self._settled_at[reference] - self._accepted_at[reference])

    def accepted(self, reference: str, partition: int, now: float) -> None:
        """Note an acknowledged reference; a repeat of one changes nothing."""
        if reference in self._order:
            return
        self._order[reference] = len(self._order)
        self._accepted_at[reference] = now
        self._partition[reference] = partition
        if reference in self._settled_at:
            return
        if self._behind == 0:
            self._quiet_since = now
        self._behind += 1
        self.behind_max = max(self.behind_max, self._behind)
        self._waiting_in[partition] += 1

    def outcome(self, reference: str, now: float) -> None:
        """Note an outcome; only the first of a reference counts."""
        if reference in self._settled_at:
            return
        self._settled_at[reference] = now
        if (order := self._order.get(reference)) is None:
            return  # its acknowledgement reaches us later than its outcome
        partition = self._partition[reference]
        self.silence_s = max(self.silence_s, now - self._quiet_since)
        self._quiet_since = now
        self._behind -= 1
        self._waiting_in[partition] -= 1
        for one in self.recoveries:
            if one.caught_up_s is None or one.all_partitions_s is None:
                _follow(one, order, partition, now)

    def healed(self, fault: str, now: float) -> Recovery:
        """Note that the cause of a fault is gone, and measure from here. A recovery that another fault interrupts is not measured any more."""
        for earlier in self.recoveries:
            if earlier.waiting:
                earlier.interrupted = True
                earlier.waiting.clear()
        waiting = {partition for partition, count in self._waiting_in.items() if count > 0}
        one = Recovery(fault, now, len(self._order), waiting, self._behind)
        self.recoveries.append(one)
        return one


def _follow(one: Recovery, order: int, partition: int, now: float) -> None:
    since = now - one.at
    if one.first_s is None:
        one.first_s = since
    if order < one.before:
        one.behind -= 1
        if one.behind == 0:
            one.caught_up_s = since
    if partition in one.waiting:
        one.waiting.discard(partition)
        if not one.waiting:
            one.all_partitions_s = since


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
