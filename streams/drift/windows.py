"""The windows of one tenant: a fold over the observations of its partition, in offset order.

Reading records again changes nothing. Nothing here knows of Faust or topics; the time is an argument.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.errors import ConfigError
from schemas.window import Observation
from streams.drift.watermark import Watermark
from streams.settings import DriftSettings

MICRO = 1_000_000
"""Probabilities are summed as whole millionths, which is what is on the wire: sums are then the same in any order."""

SEGMENT_IDS = 512
MAX_REMEMBERED_IDS = 200 * SEGMENT_IDS
MAX_OPEN_WINDOWS = 500  # the windows of a tenant are one record of a topic, which must stay well under 1 MiB


class Fate(StrEnum):
    """What became of one observation. Only `COUNTED` enters a window."""

    COUNTED = "counted"
    LATE = "late"
    """Its window, or a younger one, was closed already; said in the next summary."""
    REPEATED = "repeated"
    """Its outcome is in an open window already: the verdict was published more than once."""
    REPLAYED = "replayed"
    """This very record was applied before a restart."""
    TOO_FAR_AHEAD = "too_far_ahead"
    TOO_FAR_BACK = "too_far_back"


@dataclass(frozen=True, slots=True)
class WindowRules:
    """Times in milliseconds: how long a window is, and which event times count."""

    size_ms: int
    lateness_ms: int
    max_future_ms: int
    max_past_ms: int
    idle_ms: int
    max_remembered_ids: int = MAX_REMEMBERED_IDS

    @classmethod
    def of(cls, settings: DriftSettings) -> "WindowRules":
        """Return the rules of the settings.

        Raises:
            ConfigError: so many windows could be open at once that a tenant's state would not fit into one record.
        """
        rules = cls(
            size_ms=max(1, round(settings.window_s * 1000)),
            lateness_ms=round(settings.allowed_lateness_s * 1000),
            max_future_ms=round(settings.max_future_s * 1000),
            max_past_ms=round(settings.max_past_s * 1000),
            idle_ms=round(settings.idle_close_s * 1000),
        )
        open_at_once = (rules.lateness_ms + rules.max_future_ms) // rules.size_ms + 2
        if open_at_once > MAX_OPEN_WINDOWS:
            raise ConfigError(
                f"up to {open_at_once} windows could be open at once, at most {MAX_OPEN_WINDOWS} may",
                why="drift.allowed_lateness_s + drift.max_future_s is too much for a drift.window_s so short",
                remedy="Make windows longer, or allow less lateness and future.",
            )
        return rules


@dataclass(slots=True)
class Window:
    """What is counted between `start_ms` and `end_ms`. `ids` are in order of counting, and stop at a bound."""

    start_ms: int
    size_ms: int
    images: int = 0
    undecided: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    micro_probabilities: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    models: set[str] = field(default_factory=set)
    ids: list[int] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    heard_ms: int = 0
    saved_ids: int = 0
    """How many of `ids` the table has; the rest goes there before the window's record does."""

    @property
    def end_ms(self) -> int:
        """The first moment after the window."""
        return self.start_ms + self.size_ms

    def count(self, observation: Observation, fingerprint: int, *, max_remembered_ids: int) -> None:
        """Count one observation, and remember its id while there is room."""
        self.images += 1
        self.verdicts[observation.verdict] += 1
        self.models.add(observation.model_version)
        if observation.predicted_source is None:
            self.undecided += 1
        else:
            self.counts[observation.predicted_source] += 1
        for name, probability in (observation.per_class_probs or {}).items():
            self.micro_probabilities[name] += round(probability * MICRO)
        if len(self.ids) < max_remembered_ids:
            self.ids.append(fingerprint)
            self.seen.add(fingerprint)


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """A window that will not change any more, with the `late` observations since the window closed before it."""

    window: Window
    late: int


class TenantWindows:
    """The open windows of one tenant, and how far its observations have been applied.

    A window closes when nothing has come for it for `idle_ms` and event time has moved past it by the allowed lateness; for a tenant
    without any traffic the clock stands in for event time. The quiet matters when a backlog is read: partitions are read at different
    speeds then, and event time alone would close windows that others still bring verdicts for. Windows close oldest first, and one that
    closed never opens again. Closed windows gather in `closed` until somebody takes them away.
    """

    def __init__(self, tenant: str, rules: WindowRules) -> None:
        self.tenant = tenant
        self.applied = -1
        self.late = 0
        self.closed_until_ms = 0
        self.heard_ms = 0
        self.watermark = Watermark(rules.lateness_ms)
        self.open: dict[int, Window] = {}
        self.closed: list[ClosedWindow] = []
        self._rules = rules

    def apply(self, observation: Observation, *, offset: int, seen_ms: int, now_ms: int) -> Fate:
        """Apply the record at `offset`, written at `seen_ms`. One at or before `applied` only tells that there is traffic."""
        self.heard_ms = now_ms
        if offset <= self.applied:
            return Fate.REPLAYED
        self.applied = offset
        event_ms = round(observation.event_time.timestamp() * 1000)
        if event_ms > seen_ms + self._rules.max_future_ms:
            return Fate.TOO_FAR_AHEAD
        if event_ms < seen_ms - self._rules.max_past_ms:
            return Fate.TOO_FAR_BACK
        self.watermark.follow(event_ms, seen_ms=seen_ms)
        return self._place(observation, event_ms // self._rules.size_ms * self._rules.size_ms, now_ms)

    def close_due(self, now_ms: int) -> None:
        """Close the windows that are due."""
        silent = now_ms - self.heard_ms >= self._rules.idle_ms
        reached_ms = self.watermark.reached(now_ms, silent=silent)
        for window in self._oldest_first():
            quiet = now_ms - window.heard_ms >= self._rules.idle_ms
            if len(self.open) <= MAX_OPEN_WINDOWS and not (quiet and window.end_ms <= reached_ms):
                break
            self._close(window)

    def restore(self, windows: Iterable[Window], now_ms: int) -> None:
        """Take over `windows` from an earlier run. Those of another length (the setting was changed) are closed as they are."""
        self.open = {window.start_ms: window for window in windows}
        self.heard_ms = now_ms
        for window in self._oldest_first():
            window.heard_ms = now_ms
            if window.size_ms != self._rules.size_ms:
                self._close(window)

    def forgettable(self, now_ms: int) -> bool:
        """Whether nothing is lost by forgetting this tenant: no open window, and what would be late is too far back anyway."""
        idle = now_ms - self.heard_ms >= self._rules.idle_ms
        return idle and not (self.open or self.closed) and self.closed_until_ms < now_ms - self._rules.max_past_ms

    def _place(self, observation: Observation, start_ms: int, now_ms: int) -> Fate:
        fingerprint = fingerprint_of(observation.outcome_id)
        if any(fingerprint in window.seen for window in self.open.values()):
            return Fate.REPEATED
        if start_ms + self._rules.size_ms <= self.closed_until_ms:
            self.late += 1
            return Fate.LATE
        window = self.open.setdefault(start_ms, Window(start_ms, self._rules.size_ms))
        window.heard_ms = now_ms
        window.count(observation, fingerprint, max_remembered_ids=self._rules.max_remembered_ids)
        return Fate.COUNTED

    def _oldest_first(self) -> list[Window]:
        return sorted(self.open.values(), key=lambda window: window.start_ms)

    def _close(self, window: Window) -> None:
        del self.open[window.start_ms]
        self.closed_until_ms = max(self.closed_until_ms, window.end_ms)
        self.closed.append(ClosedWindow(window, self.late))
        self.late = 0


def fingerprint_of(outcome_id: str) -> int:
    """Return 64 bits of the id: among 100,000 ids of a window, two are alike once in four billion windows."""
    return int.from_bytes(hashlib.blake2b(outcome_id.encode(), digest_size=8).digest())
