"""Windows over replayed verdicts, by themselves: what live traffic would have looked like, had the new model judged it.

They are counted and corrected as the drift worker counts and corrects, and kept in the replay's report. Live windows take in nothing of a replay:
they are closed, a window that closed never opens again, and in one that is still open each image would count twice.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from schemas.errors import MessageRejected, UsageError
from schemas.shadow import Opinion
from schemas.verdict import Verdict
from schemas.window import OVERALL
from streams.drift.aggregate import Aggregate, SampleSizes, aggregate_of
from streams.drift.gathering import Gathering
from streams.drift.judge import WindowJudge
from streams.drift.observations import observe
from streams.drift.rows import Rows
from streams.drift.specs import WindowSpec, parse_spec
from streams.drift.windows import ClosedWindow

MAX_WINDOWS: Final = 2000
"""Windows that a report holds, the oldest first."""

Place = tuple[int, str]
"""Start in ms, and tenant."""


@dataclass(frozen=True, slots=True)
class Change:
    """One window: what the old verdicts were in it, and the summary of the new ones."""

    before: Counter[str]
    summary: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-compatible values."""
        return {"before": dict(self.before), "after": self.summary}


def tumbling(text: str) -> WindowSpec:
    """Return the window that `text` names, such as `1h`.

    Raises:
        UsageError: it names none, or one that overlaps with the next.
    """
    try:
        spec = parse_spec(text)
    except ValueError as error:
        raise UsageError(f"{text}: not a window", why=str(error), remedy="Name one such as 1h or 1d.") from None
    if not spec.is_tumbling:
        raise UsageError(f"{text}: windows of a replay do not overlap", remedy="Name one such as 1h or 1d.")
    return spec


class ReplayWindows:
    """Takes each pair of an old and a new verdict once, in any order."""

    def __init__(self, spec: WindowSpec, judge: WindowJudge, *, sample_images: int) -> None:
        self._spec = spec
        self._judge = judge
        self._sizes = SampleSizes(sample_images, 0)
        self._before: dict[Place, Counter[str]] = defaultdict(Counter)
        self._after: dict[Place, Aggregate] = {}
        self._gathering = Gathering()

    def take(self, new: Verdict, before: Opinion, *, written_ms: int) -> None:
        """Count a replayed verdict at the event time of its image; at `written_ms` where that has none. One that windows cannot read is left out."""
        try:
            seen = observe(new.to_bytes(), written_ms=written_ms)
        except MessageRejected:
            return
        start_ms = self._start(seen.event_ms)
        for tenant in (new.tenant, OVERALL):
            self._before[start_ms, tenant][before.verdict] += 1
        if not self._gathering.has_room_for(seen):
            self._fold()
        self._gathering.add(seen)

    def __len__(self) -> int:
        """Return how many windows there are."""
        return len(self._before)

    def changes(self) -> Iterator[Change]:
        """Yield the windows, the oldest first; those over all tenants (`*`) come before those of each."""
        self._fold()
        for start_ms, tenant in sorted(self._after):
            closed = ClosedWindow(self._spec, start_ms, self._after[start_ms, tenant], late=0)
            words, _ = self._judge.judge(tenant, closed, {})
            summary = words.summary.to_json()
            del summary["window_id"]  # the live window's, and this one is another
            yield Change(self._before[start_ms, tenant], summary)

    def _start(self, at_ms: int) -> int:
        return at_ms // self._spec.size_ms * self._spec.size_ms

    def _fold(self) -> None:
        for batch in self._gathering.batches():
            rows = Rows.from_message(batch)
            starts = rows.table["event_ms"] // self._spec.size_ms * self._spec.size_ms
            for start_ms in sorted(set(starts.tolist())):
                place = start_ms, batch.tenant
                more = aggregate_of(rows.take(starts == start_ms), self._sizes)
                self._after[place] = self._after.get(place, Aggregate()).merged(more, self._sizes)
        self._gathering = Gathering()
