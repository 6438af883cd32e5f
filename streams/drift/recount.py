"""Counts windows anew from verdicts, in one go and without a state, and holds them against what was published. Pure; it reads no topic itself."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from schemas.errors import MessageRejected
from schemas.incoming import Record
from schemas.window import OVERALL, WindowSummary
from streams.drift.aggregate import Aggregate, SampleSizes, aggregate_of
from streams.drift.gathering import Gathering
from streams.drift.observations import EventTimes, observe
from streams.drift.observing import written_at_ms
from streams.drift.rows import Rows
from streams.drift.specs import Specs
from streams.drift.summary import counted
from streams.drift.windows import ClosedWindow

COMPARED: Final = (
    "images",
    "counts",
    "undecided",
    "verdicts",
    "probability_sums",
    "confidence_histogram",
    "mean_confidence",
    "raw_shares",
    "model_versions",
)
_NO_SAMPLE: Final = SampleSizes(0, 0)

Kind = Literal["differs", "missing", "said_differently", "not_in_verdicts"]
Place = tuple[str, str, int]
"""Tenant, kind of window, and its start in ms."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A window that is not as the verdicts say, and how."""

    tenant: str
    window: str
    start_ms: int
    kind: Kind
    why: str


@dataclass(slots=True)
class Comparison:
    """What came of it: how many windows are equal, which are short by `late` images that the windows themselves tell of, and which differ."""

    equal: int = 0
    late: int = 0
    differences: list[Difference] = field(default_factory=list)


class Recount:
    """Takes verdicts in any order; each outcome counts once, in every window of `specs` that it lies in, for its tenant and for all tenants."""

    def __init__(self, specs: Specs, times: EventTimes) -> None:
        self.results: Counter[str] = Counter()
        self._specs = specs
        self._times = times
        self._seen: set[int] = set()
        self._panes: dict[tuple[str, int], Aggregate] = {}
        self._gathering = Gathering()

    def take(self, record: Record, *, written_s: float, now_ms: int) -> None:
        """Take one record of the verdicts topic."""
        written_ms = written_at_ms(written_s, now_ms=now_ms)
        try:
            seen = observe(record.value, written_ms=written_ms)
        except MessageRejected:
            self.results["unreadable"] += 1
            return
        fate = self._times.fate(seen, written_ms=written_ms, now_ms=written_ms)
        if fate is not None:
            self.results[fate.value] += 1
        elif seen.fingerprint in self._seen:
            self.results["repeated"] += 1
        else:
            self.results["counted"] += 1
            self._seen.add(seen.fingerprint)
            if not self._gathering.has_room_for(seen):
                self._fold()
            self._gathering.add(seen)

    def windows(self) -> dict[Place, WindowSummary]:
        """Return every window that holds an image."""
        self._fold()
        totals: dict[Place, Aggregate] = defaultdict(Aggregate)
        for (tenant, pane_ms), total in self._panes.items():
            for spec in self._specs:
                for start_ms in spec.starts(pane_ms):
                    place = tenant, spec.name, start_ms
                    totals[place] = totals[place].merged(total, _NO_SAMPLE)
        return {place: _summary(place, total, self._specs) for place, total in totals.items()}

    def _fold(self) -> None:
        size_ms = self._specs.pane.size_ms
        for batch in self._gathering.batches():
            rows = Rows.from_message(batch)
            starts = rows.table["event_ms"] // size_ms * size_ms
            for start_ms in sorted(set(starts.tolist())):
                more = aggregate_of(rows.take(starts == start_ms), _NO_SAMPLE)
                pane = self._panes.get((batch.tenant, start_ms), Aggregate())
                self._panes[batch.tenant, start_ms] = pane.merged(more, _NO_SAMPLE)
        self._gathering = Gathering()


def compare(
    recounted: Mapping[Place, WindowSummary],
    published: Iterable[WindowSummary],
    specs: Specs,
    *,
    since_ms: int,
    max_tenants: int,
) -> Comparison:
    """Hold the windows that begin at or after `since_ms` against the recount.

    A window may be short of images that came after it was closed, or have none but such and not be published: each of them is told as `late` by a
    window of the tenant. A window that nobody published is missing only once a younger one of its kind was published; so are all of a tenant that has none, unless as many
    tenants as `drift.max_tenants` have some.
    """
    found = Comparison()
    said: dict[Place, WindowSummary] = {}
    for one in published:
        place = one.tenant, one.window or "", _milliseconds(one)
        if place[2] < since_ms or specs.named(place[1]) is None:
            continue
        before = said.setdefault(place, one)
        if before != one:
            found.differences.append(
                Difference(*place, "said_differently", "published twice, and not in the same words")
            )
    short: dict[str, dict[Place, Difference]] = defaultdict(dict)
    for place, one in sorted(said.items()):
        expected = recounted.get(place)
        if expected is None:
            why = f"{one.images} images, of which no verdict tells"
            found.differences.append(Difference(*place, "not_in_verdicts", why))
        elif _content(one) == _content(expected):
            found.equal += 1
        elif _is_part(one, expected):
            short[one.tenant][place] = Difference(*place, "differs", _how(one, expected))
        else:
            found.differences.append(Difference(*place, "differs", _how(one, expected)))
    for missing in _missing(recounted, said, since_ms=since_ms, max_tenants=max_tenants):
        short[missing.tenant][missing.tenant, missing.window, missing.start_ms] = missing
    for tenant, differences in short.items():
        told = sum(one.late for (whose, kind, _), one in said.items() if (whose, kind) == (tenant, specs.pane.name))
        lost = {place: recounted[place].images - (said[place].images if place in said else 0) for place in differences}
        explained = _explained(lost, told, specs)
        found.late += len(explained)
        found.differences += [
            replace(one, why=f"{one.why}; {told} are told to be late")
            for place, one in differences.items()
            if place not in explained
        ]
    return found


def _explained(lost: Mapping[Place, int], told: int, specs: Specs) -> set[Place]:
    """Return the windows that are short of no other images than their panes are, where those of all panes are not more than `told`."""
    of_panes = {at: images for (_, kind, at), images in lost.items() if kind == specs.pane.name}
    if sum(of_panes.values()) > told:
        return set()
    explained = set()
    for place, images in lost.items():
        spec = specs.named(place[1])
        assert spec is not None, "windows of other kinds were left out"
        inside = sum(missing for at, missing in of_panes.items() if place[2] <= at < place[2] + spec.size_ms)
        if images == inside:
            explained.add(place)
    return explained


def _missing(
    recounted: Mapping[Place, WindowSummary],
    said: Mapping[Place, WindowSummary],
    *,
    since_ms: int,
    max_tenants: int,
) -> list[Difference]:
    newest: dict[tuple[str, str], int] = {}
    for tenant, kind, start_ms in said:
        newest[tenant, kind] = max(newest.get((tenant, kind), start_ms), start_ms)
    tenants = {tenant for tenant, _ in newest}
    is_full = len(tenants - {OVERALL}) >= max_tenants
    found = []
    for place, one in sorted(recounted.items()):
        tenant, kind, start_ms = place
        known = newest.get((tenant, kind)) if tenant in tenants or is_full else newest.get((OVERALL, kind))
        if place not in said and start_ms >= since_ms and known is not None and start_ms < known:
            found.append(Difference(*place, "missing", f"{one.images} images, and a younger window was published"))
    return found


def _summary(place: Place, total: Aggregate, specs: Specs) -> WindowSummary:
    tenant, kind, start_ms = place
    spec = specs.named(kind)
    assert spec is not None, "only windows of these kinds were counted"
    return counted(tenant, ClosedWindow(spec, start_ms, total, 0))


def _content(one: WindowSummary) -> tuple[object, ...]:
    return tuple(getattr(one, name) for name in COMPARED)


def _is_part(one: WindowSummary, whole: WindowSummary) -> bool:
    """Whether every image of `one` may be among those of `whole`."""
    return (
        one.images < whole.images
        and one.undecided <= whole.undecided
        and Counter(one.counts) <= Counter(whole.counts)
        and Counter(one.verdicts) <= Counter(whole.verdicts)
        and set(one.model_versions) <= set(whole.model_versions)
    )


def _how(one: WindowSummary, expected: WindowSummary) -> str:
    if one.images != expected.images:
        return f"{one.images} images were published, the verdicts give {expected.images}"
    names = [name for name in COMPARED if getattr(one, name) != getattr(expected, name)]
    return f"as many images, but other {', '.join(names)}"


def _milliseconds(one: WindowSummary) -> int:
    return round(one.start.timestamp() * 1000)
