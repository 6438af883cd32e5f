"""Windows counted anew from verdicts."""

import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.incoming import Record
from schemas.window import OVERALL, WindowSummary
from streams.drift.keeper import Arrival, TenantLimits, WindowKeeper
from streams.drift.metrics import DriftMetrics
from streams.drift.observations import EventTimes
from streams.drift.observing import Observing
from streams.drift.recount import Recount, compare
from streams.drift.rows import Rows
from streams.drift.specs import parse_specs
from streams.drift.summary import Words, counted
from streams.drift.windows import WindowRules
from streams.settings import DriftSettings

SPECS = parse_specs(["10s", "1m", "20s/10s"])
TIMES = EventTimes(max_future_ms=60_000, max_past_ms=3_600_000)
NOW_S = 10_000.0


def record(number: int, at_s: float, **changes) -> Record:
    """A verdict, written at second 10,000."""
    verdict = {
        "schema": "deeptrace.verdict/1",
        "outcome_id": f"outcome-{number}",
        "tenant": "acme",
        "object": {"bucket": "b", "key": "k"},
        "verdict": "real",
        "predicted_source": "real",
        "confidence": 0.75,
        "per_class_probs": {"real": 0.75, "flux": 0.25},
        "model": {"version": "m1", "calibration_id": "c", "classes": ["real", "flux"]},
        "source": {"event_time": datetime.fromtimestamp(at_s, UTC).isoformat()},
    }
    value = orjson.dumps(verdict | changes)
    return Record("deeptrace.verdicts.v1", 0, number, None, value, timestamp=datetime.fromtimestamp(NOW_S, UTC))


def recounted(*records: Record) -> Recount:
    """The recount of these verdicts."""
    recount = Recount(SPECS, TIMES)
    for one in records:
        recount.take(one, written_s=NOW_S, now_ms=round(NOW_S * 1000))
    return recount


def compared(recount: Recount, published, **options):
    """The comparison, all since the epoch."""
    return compare(recount.windows(), published, SPECS, **{"since_ms": 0, "max_tenants": 100} | options)


def test_each_outcome_counts_once_in_each_of_its_windows() -> None:
    """Repeats, what cannot be read and times that cannot be true are told apart."""
    repeat = record(1, 9005)
    recount = recounted(
        repeat,
        repeat,
        record(2, 9015, tenant="other"),
        record(3, 11_000),
        record(4, 5000),
        record(5, 9005, verdict="perhaps"),
    )
    images = {place: one.images for place, one in recount.windows().items()}
    assert images[OVERALL, "10s", 9_000_000] == images["acme", "10s", 9_000_000] == 1
    assert images[OVERALL, "20s/10s", 9_000_000] == images[OVERALL, "1m", 9_000_000] == 2
    assert recount.results == {"counted": 2, "repeated": 1, "too_far_ahead": 1, "too_far_back": 1, "unreadable": 1}


def test_equal_windows_are_equal() -> None:
    """What was published is what the verdicts give, whatever the judge said besides."""
    recount = recounted(record(1, 9005), record(2, 9006))
    published = [one.model_copy(update={"reference": {"real": 1.0}}) for one in recount.windows().values()]
    found = compared(recount, [*published, *published])
    assert (found.equal, found.late, found.differences) == (len(published), 0, [])
    assert compared(recount, published, since_ms=9_010_000).equal == 0


@pytest.mark.parametrize(
    ("changes", "kind", "why"),
    [
        ({"images": 3}, "differs", "3 images were published, the verdicts give 2"),
        ({"probability_sums": {"real": 1.4, "flux": 0.6}}, "differs", "as many images, but other probability_sums"),
        (
            {"images": 1, "counts": {"real": 1}, "verdicts": {"real": 1}},
            "differs",
            "1 images were .* 0 are told to be late",
        ),
        ({"tenant": "stranger"}, "not_in_verdicts", "no verdict tells"),
    ],
)
def test_a_window_that_differs_is_named(changes, kind, why) -> None:
    """With tenant, window, start, and how it differs."""
    recount = recounted(record(1, 9005), record(2, 9006))
    place = ("acme", "10s", 9_000_000)
    [difference] = compared(recount, [recount.windows()[place].model_copy(update=changes)]).differences
    assert (difference.kind, difference.window, difference.start_ms) == (kind, "10s", 9_000_000)
    assert re.search(why, difference.why)


def test_a_window_that_was_said_in_two_ways_is_named() -> None:
    """Even where one of them is right."""
    recount = recounted(record(1, 9005))
    right = recount.windows()["acme", "10s", 9_000_000]
    found = compared(recount, [right, right.model_copy(update={"images": 7})])
    assert [one.kind for one in found.differences] == ["said_differently"]


def test_late_images_explain_what_a_window_is_short_of() -> None:
    """As many as the tenant's windows tell of; in the larger windows the same ones are missing."""
    late = record(3, 9007)
    on_time = recounted(record(1, 9005), record(2, 9015))
    published = list(on_time.windows().values())
    told = [
        one.model_copy(update={"late": 1}) if one.window == "10s" and one.start.timestamp() == 9010 else one
        for one in published
    ]
    recount = recounted(record(1, 9005), record(2, 9015), late)
    found = compared(recount, told)
    assert found.differences == []
    assert found.late == 2 * 4  # the tenant's and all tenants': the pane, the minute and two that hop
    assert {one.kind for one in compared(recount, published).differences} == {"differs"}


def test_a_window_that_nobody_published_is_missing() -> None:
    """Once a younger one of its kind was: the youngest may still be open."""
    recount = recounted(record(1, 9005), record(2, 9015), record(3, 9025))
    windows = recount.windows()
    found = compared(recount, [windows["acme", "10s", 9_010_000]])
    assert [(one.kind, one.tenant, one.start_ms) for one in found.differences] == [("missing", "acme", 9_000_000)]


def test_tenants_over_the_limit_are_not_missing() -> None:
    """Where as many tenants as may have windows have some, the others have none by right; below it they are missing."""
    recount = recounted(record(1, 9005), record(2, 9005, tenant="other"), record(3, 9015))
    windows = recount.windows()
    published = [one for place, one in windows.items() if place[0] != "other"]
    assert compared(recount, published, max_tenants=1).differences == []
    assert {one.tenant for one in compared(recount, published, max_tenants=2).differences} == {"other"}


class CountingJudge:
    """Says what was counted."""

    def judge(self, tenant, closed, memory):
        return Words(counted(tenant, closed)), memory


class Pipeline:
    """Verdicts through observing and keeping, with a clock that is told; what is published is kept."""

    def __init__(self, settings: DriftSettings) -> None:
        self.now_s = NOW_S
        self.published: list[WindowSummary] = []
        self._offset = 0
        self._observing = Observing(settings, None, DriftMetrics(), clock=lambda: NOW_S)
        self._keeper = WindowKeeper(
            self,
            self.publish,
            rules=WindowRules.of(settings),
            limits=TenantLimits.of(settings),
            judge=CountingJudge(),
            metrics=DriftMetrics(),
            clock=lambda: self.now_s,
        )

    def scan(self):
        return []

    async def write(self, changes) -> None:
        pass

    async def publish(self, tenant, closing) -> None:
        self.published.append(WindowSummary.from_bytes(closing.summary.encode()))

    async def read(self, records: Sequence[Record], *, then_wait_s: float) -> None:
        """Read a batch, then let time pass."""
        written = [SimpleNamespace(value=one.value, timestamp=NOW_S) for one in records]
        arrivals = []
        for batch in self._observing.batches(written):
            arrivals.append(Arrival(0, self._offset, round(NOW_S * 1000), batch.tenant, Rows.from_message(batch)))
            self._offset += 1
        await self._keeper.apply(arrivals)
        self.now_s += then_wait_s
        await self._keeper.tick()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 200))
async def test_the_worker_and_the_recount_agree(seed, count) -> None:
    """In any batches, with stragglers: the recount finds each window equal, or short of images that are told to be late."""
    draw = random.Random(seed)
    tenants = ("a", "b")
    records = [
        record(number, 9000 + 100 * number / count + draw.choice([0, 0, 0, -40]), tenant=draw.choice(tenants))
        for number in range(count)
    ]
    youngest = [record(count + at, NOW_S, tenant=tenant) for at, tenant in enumerate(tenants)]  # tell what was late
    pipeline = Pipeline(DriftSettings(windows=("10s", "1m", "20s/10s"), allowed_lateness_s=5, idle_close_s=1))
    for at in range(0, count, 20):
        await pipeline.read(records[at : at + 20], then_wait_s=draw.choice([0.5, 2]))
    await pipeline.read(youngest, then_wait_s=100_000)
    found = compared(recounted(*records, *youngest), pipeline.published)
    assert found.differences == []
    assert found.equal + found.late >= len(pipeline.published)
