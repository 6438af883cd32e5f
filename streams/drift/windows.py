"""The windows of one tenant: a fold over the observations of its partition, in offset order.

Images are counted once, in their pane. When a pane closes, what it counted is added to the larger windows that it is part of. Reading records
again changes nothing. Nothing here knows of Faust or topics; the time is an argument.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from schemas.errors import ConfigError
from streams.drift.aggregate import Aggregate, SampleSizes
from streams.drift.pane import MAX_PANE_ROWS, Pane
from streams.drift.rows import Rows, name_bytes
from streams.drift.specs import Specs, WindowSpec, parse_spec, parse_specs
from streams.drift.watermark import Watermark
from streams.settings import DriftSettings

MAX_OPEN_PANES = 500
"""The panes of a tenant are named in one record of a topic, which must stay well under 1 MiB."""
MAX_OPEN_LARGER = 1000
"""The same of its larger windows: a backlog of years would open one for each hour."""
CLOSED_AT_ONCE = 32
"""Windows of a tenant that are said in one go: their words lie in the same record."""
MAX_WORDS_BYTES = 512 * 1024
"""And no more of them than have about so many bytes, but one at least."""
OVERALL_SAMPLE = 4
"""How many times as many images the windows over all tenants keep."""


class Fate(StrEnum):
    """What became of one observation. Only `COUNTED` enters a window."""

    COUNTED = "counted"
    LATE = "late"
    """Its pane, or a younger one, was closed already; said in the next summary."""
    REPEATED = "repeated"
    """Its outcome is in an open pane already: the verdict was published more than once."""
    REPLAYED = "replayed"
    """This very record was applied before a restart."""
    TOO_FAR_AHEAD = "too_far_ahead"
    TOO_FAR_BACK = "too_far_back"
    OVER_LIMIT = "over_limit"
    """There are `drift.max_tenants` other tenants: it is counted in the windows over all tenants only."""


@dataclass(frozen=True, slots=True)
class WindowRules:
    """Which windows there are, when they close, and how much they keep. Times in milliseconds."""

    specs: Specs
    lateness_ms: int
    idle_ms: int
    sizes: SampleSizes
    max_pane_rows: int = MAX_PANE_ROWS

    @classmethod
    def of(cls, settings: DriftSettings) -> "WindowRules":
        """Return the rules of the settings.

        Raises:
            ConfigError: so many panes could be open at once that a tenant's state would not fit into one record.
        """
        rules = cls(
            specs=parse_specs(settings.windows),
            lateness_ms=round(settings.allowed_lateness_s * 1000),
            idle_ms=round(settings.idle_close_s * 1000),
            sizes=SampleSizes(settings.sample_images, settings.max_rejects),
        )
        open_at_once = (rules.lateness_ms + round(settings.max_future_s * 1000)) // rules.specs.pane.size_ms + 2
        if open_at_once > MAX_OPEN_PANES:
            raise ConfigError(
                f"up to {open_at_once} windows of {rules.specs.pane.name} could be open at once, at most {MAX_OPEN_PANES} may",
                why="drift.allowed_lateness_s + drift.max_future_s is too much for the shortest of drift.windows",
                remedy="Make the shortest window longer, or allow less lateness and future.",
            )
        return rules

    @property
    def overall_sizes(self) -> SampleSizes:
        """How much windows over all tenants keep."""
        return SampleSizes(OVERALL_SAMPLE * self.sizes.images, self.sizes.rejects)


@dataclass(slots=True)
class Larger:
    """An open window that is put together from closed panes: all that end by `through_ms` are in it."""

    spec: WindowSpec
    start_ms: int
    total: Aggregate = field(default_factory=Aggregate)
    late: int = 0
    through_ms: int = 0
    heard_ms: int = 0
    saved_through_ms: int = 0
    """Which panes are in it as the table has it; 0: the table has it not."""

    @property
    def end_ms(self) -> int:
        """The first moment after the window."""
        return self.start_ms + self.spec.size_ms

    def add(self, pane: "ClosedWindow", sizes: SampleSizes) -> None:
        """Add a closed pane; one that is in it already changes nothing."""
        if pane.end_ms > self.through_ms:
            self.total = self.total.merged(pane.total, sizes)
            self.late += pane.late
            self.through_ms = pane.end_ms


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """A window that will not change any more, with the `late` observations since the one closed before it (of a larger one: of all its panes)."""

    spec: WindowSpec
    start_ms: int
    total: Aggregate
    late: int

    @property
    def end_ms(self) -> int:
        """The first moment after the window."""
        return self.start_ms + self.spec.size_ms


class TenantWindows:
    """The open windows of one tenant, and how far its observations have been applied.

    A pane closes when nothing has come for it for `idle_ms` and event time has moved past it by the allowed lateness; for a tenant without
    any traffic the clock stands in for event time. The quiet matters when a backlog is read: partitions are read at different speeds
    then, and event time alone would close panes that others still bring verdicts for. Panes close oldest first, and one that closed
    never opens again. A larger window closes the same way, once none of its panes is open. Closed windows gather in `closed`, closed
    panes also in `merging`, larger windows that the table has in `ended`, until somebody takes them away.
    """

    def __init__(self, tenant: str, rules: WindowRules, sizes: SampleSizes | None = None) -> None:
        self.tenant = tenant
        self.applied = -1
        self.late = 0
        self.closed_until_ms = 0
        self.heard_ms = 0
        self.seen_ms = 0
        """When its newest record was written."""
        self.watermark = Watermark(rules.lateness_ms)
        self.pane_spec = rules.specs.pane
        self.panes: dict[int, Pane] = {}
        self.larger: dict[tuple[str, int], Larger] = {}
        self.closed: list[ClosedWindow] = []
        self.merging: list[tuple[Pane, ClosedWindow]] = []
        self.ended: list[tuple[str, int]] = []
        self.sizes = sizes or rules.sizes
        self._seen: set[int] = set()
        self._rules = rules

    def apply(self, rows: Rows, *, offset: int, seen_ms: int, now_ms: int) -> tuple[Counter[Fate], list[Rows]]:
        """Apply the record at `offset`, written at `seen_ms`; return what became of its images, and those that were counted.

        A record at or before `applied` only tells that there is traffic.
        """
        self.heard_ms = now_ms
        if offset <= self.applied:
            return Counter({Fate.REPLAYED: len(rows)}), []
        self.applied = offset
        self.seen_ms = max(self.seen_ms, seen_ms)
        if not len(rows):
            return Counter(), []
        self.watermark.follow(int(rows.table["event_ms"].max()), seen_ms=seen_ms)
        new = self._new(rows)
        fates = Counter({Fate.REPEATED: len(rows) - len(new)})
        counted = []
        size_ms = self._rules.specs.pane.size_ms
        starts = new.table["event_ms"] // size_ms * size_ms
        for start_ms in np.unique(starts).tolist():
            of_pane = new.take(starts == start_ms)
            if start_ms + size_ms <= self.closed_until_ms:
                self.late += len(of_pane)
                fates[Fate.LATE] += len(of_pane)
                continue
            pane = self.panes.setdefault(start_ms, Pane(start_ms))
            pane.add(of_pane, max_rejects=self.sizes.rejects, now_ms=now_ms)
            self._seen.update(of_pane.fingerprints())
            fates[Fate.COUNTED] += len(of_pane)
            counted.append(of_pane)
        return +fates, counted

    def close_due(self, now_ms: int) -> None:
        """Close windows that are due, so many that their words fit into one record; `has_due` says whether more are."""
        reached_ms = self._reached(now_ms)
        for pane in self._oldest_first():
            if self._is_enough_to_say() or not self._pane_is_due(pane, reached_ms, now_ms):
                break
            self._close_pane(pane)
        if not self.panes:
            self.pane_spec = self._rules.specs.pane
        for window in self._larger_first_to_end():
            if self._is_enough_to_say():
                break
            if self._larger_is_due(window, reached_ms, now_ms):
                self._close_larger(window)

    def has_due(self, now_ms: int) -> bool:
        """Whether a window is due."""
        reached_ms = self._reached(now_ms)
        oldest = min(self.panes.values(), key=lambda pane: pane.start_ms, default=None)
        if oldest is not None and self._pane_is_due(oldest, reached_ms, now_ms):
            return True
        return any(self._larger_is_due(window, reached_ms, now_ms) for window in self.larger.values())

    def restore(self, panes: Iterable[Pane], larger: Iterable[Larger], pane_spec: str, now_ms: int) -> None:
        """Take over what an earlier run left. Windows of a kind that is not kept any more (the setting was changed) are due at once, as they are."""
        self.heard_ms = now_ms
        self.larger = {(window.spec.name, window.start_ms): window for window in larger}
        self.panes = {pane.start_ms: pane for pane in panes}
        for pane in self.panes.values():
            pane.heard_ms = now_ms
        for window in self.larger.values():
            window.heard_ms = now_ms
        self._seen = {fingerprint for pane in self.panes.values() for fingerprint in pane.fingerprints()}
        if self.panes:
            self.pane_spec = parse_spec(pane_spec)

    def fold_full_panes(self) -> list[tuple[Pane, range]]:
        """Fold the panes that hold too many rows; return them, with the numbers of the segments that are obsolete once the fold is saved."""
        folded = []
        for pane in self.panes.values():
            if pane.unsaved_from and pane.saved_rows - pane.folded_rows > self._rules.max_pane_rows:
                numbers, fingerprints = pane.fold(self.sizes)
                self._seen.difference_update(fingerprints)
                folded.append((pane, numbers))
        return folded

    def forgettable(self, now_ms: int, max_past_ms: int) -> bool:
        """Whether nothing is lost by forgetting this tenant: no open window, and what would be late is too far back anyway.

        What is too far back goes by when a verdict was written, and old ones may be read now, so the tenant must have been silent for as long.
        """
        idle = now_ms - self.heard_ms >= self._rules.idle_ms
        nothing_open = not (self.panes or self.larger or self.closed or self.merging)
        return idle and nothing_open and max(self.closed_until_ms, self.seen_ms) < now_ms - max_past_ms

    def _new(self, rows: Rows) -> Rows:
        """Return the rows whose outcome is in no open pane, each once."""
        fingerprints = rows.fingerprints()
        if len(set(fingerprints)) == len(fingerprints) and self._seen.isdisjoint(fingerprints):
            return rows
        first: set[int] = set()
        mask = []
        for fingerprint in fingerprints:
            mask.append(fingerprint not in self._seen and fingerprint not in first)
            first.add(fingerprint)
        return rows.take(np.array(mask, bool))

    def _reached(self, now_ms: int) -> int:
        silent = now_ms - self.heard_ms >= self._rules.idle_ms
        return self.watermark.reached(now_ms, silent=silent)

    def _pane_is_due(self, pane: Pane, reached_ms: int, now_ms: int) -> bool:
        if len(self.panes) > MAX_OPEN_PANES or self.pane_spec.name != self._rules.specs.pane.name:
            return True
        quiet = now_ms - pane.heard_ms >= self._rules.idle_ms
        return quiet and pane.start_ms + self.pane_spec.size_ms <= reached_ms

    def _larger_is_due(self, window: Larger, reached_ms: int, now_ms: int) -> bool:
        if self._has_open_pane(window):
            return False
        quiet = now_ms - window.heard_ms >= self._rules.idle_ms
        too_many = len(self.larger) > MAX_OPEN_LARGER
        return too_many or (quiet and window.end_ms <= reached_ms) or not self._is_kept(window)

    def _is_kept(self, window: Larger) -> bool:
        return self._rules.specs.named(window.spec.name) is not None

    def _has_open_pane(self, window: Larger) -> bool:
        return any(window.start_ms <= start_ms < window.end_ms for start_ms in self.panes)

    def _is_enough_to_say(self) -> bool:
        return len(self.closed) >= CLOSED_AT_ONCE or sum(map(_words_bytes, self.closed)) > MAX_WORDS_BYTES

    def _oldest_first(self) -> list[Pane]:
        return sorted(self.panes.values(), key=lambda pane: pane.start_ms)

    def _larger_first_to_end(self) -> list[Larger]:
        return sorted(self.larger.values(), key=lambda window: (window.end_ms, window.spec.size_ms))

    def _close_pane(self, pane: Pane) -> None:
        del self.panes[pane.start_ms]
        self._seen.difference_update(pane.fingerprints())
        closed = ClosedWindow(self.pane_spec, pane.start_ms, pane.aggregate(self.sizes), self.late)
        self.late = 0
        self.closed_until_ms = max(self.closed_until_ms, closed.end_ms)
        self.closed.append(closed)
        self.merging.append((pane, closed))
        for spec in self._rules.specs.larger:
            for start_ms in spec.starts(pane.start_ms):
                window = self.larger.setdefault((spec.name, start_ms), Larger(spec, start_ms))
                window.add(closed, self.sizes)
                window.heard_ms = max(window.heard_ms, pane.heard_ms)

    def _close_larger(self, window: Larger) -> None:
        if self._is_kept(window):  # else it closes early: what is still to come for its time belongs to other windows
            self.closed_until_ms = max(self.closed_until_ms, window.end_ms)
        del self.larger[window.spec.name, window.start_ms]
        if window.saved_through_ms:
            self.ended.append((window.spec.name, window.start_ms))
        self.closed.append(ClosedWindow(window.spec, window.start_ms, window.total, window.late))


def _words_bytes(closed: ClosedWindow) -> int:
    """About how many bytes tell of it, at most: a source stands in three tables of the summary and four of its alerts, a reject in a candidate."""
    total = closed.total
    counted = sum(24 + name_bytes(name) for name in total.counts)
    summed = sum(64 + name_bytes(name) for name in total.sums)
    return 4096 + 7 * counted + 2 * summed + sum(map(name_bytes, total.models)) + 170 * len(total.rejects)


def fingerprint_of(outcome_id: str) -> int:
    """Return 64 bits of the id: among 100,000 ids of a window, two are alike once in four billion windows."""
    return int.from_bytes(hashlib.blake2b(outcome_id.encode(), digest_size=8).digest())
