"""The windows of one tenant, as a fold over observations."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.observed import SIZES, rows_of, rules, seen

from schemas.errors import ConfigError
from streams.drift.aggregate import aggregate_of
from streams.drift.windows import CLOSED_AT_ONCE, MAX_OPEN_LARGER, MAX_OPEN_PANES, Fate, TenantWindows, WindowRules
from streams.settings import DriftSettings

RULES = rules("10s")


class Tenant:
    """Windows with a clock that is told: each image is the next record, written and applied `now_s`."""

    def __init__(self, of: WindowRules = RULES) -> None:
        self.windows = TenantWindows("acme", of)
        self.offset = -1

    def hear(self, *images, now_s: float) -> Fate | Counter[Fate]:
        """Apply a record of `images`; return what became of the only one, or of how many what."""
        self.offset += 1
        now_ms = int(now_s * 1000)
        fates, counted = self.windows.apply(rows_of(images), offset=self.offset, seen_ms=now_ms, now_ms=now_ms)
        assert sum(len(rows) for rows in counted) == fates[Fate.COUNTED]
        return next(iter(+fates)) if len(images) == 1 else fates

    def closed_at(self, now_s: float) -> list[int]:
        """Return the starts, in seconds, of the panes that are closed by then."""
        self.windows.close_due(int(now_s * 1000))
        return [closed.start_ms // 1000 for closed in self.windows.closed if closed.spec is RULES.specs.pane]

    def all_closed_at(self, now_s: float) -> list[tuple[str, int, int]]:
        """Return name, start in seconds and images of every window that is closed by then."""
        self.windows.close_due(int(now_s * 1000))
        return [(one.spec.name, one.start_ms // 1000, one.total.images) for one in self.windows.closed]


def test_a_moment_on_the_border_belongs_to_the_next_window() -> None:
    """Windows include their start and exclude their end."""
    tenant = Tenant()
    tenant.hear(seen(109.999), seen(110), now_s=120)
    assert sorted(tenant.windows.panes) == [100_000, 110_000]


def test_event_time_past_the_lateness_closes() -> None:
    """A window closes once an event lies the allowed lateness behind its end, and not before."""
    tenant = Tenant()
    tenant.hear(seen(101), now_s=101)
    tenant.hear(seen(114.9), now_s=115)
    assert tenant.closed_at(115) == []
    tenant.hear(seen(115), now_s=115)
    assert tenant.closed_at(115) == [100]


def test_a_window_that_still_receives_stays_open() -> None:
    """While a backlog is read unevenly, a window is not closed under the images that still come for it."""
    tenant = Tenant()
    tenant.hear(seen(101), now_s=1000)
    tenant.hear(seen(500), now_s=1000)
    assert tenant.closed_at(1000) == []
    assert tenant.hear(seen(102), now_s=1002) is Fate.COUNTED
    tenant.hear(seen(501), now_s=1003)
    assert tenant.closed_at(1004) == []
    assert tenant.closed_at(1005) == [100]


def test_silence_closes_by_the_clock() -> None:
    """When traffic stops, the last window closes when its end and the lateness have passed by the clock."""
    tenant = Tenant()
    tenant.hear(seen(109), now_s=109)
    assert tenant.closed_at(114.9) == []
    assert tenant.closed_at(115) == [100]


def test_silence_closes_no_window_that_has_not_ended() -> None:
    """A tenant with an image now and then keeps its window until it ends, however long the pause."""
    tenant = Tenant(rules("10m"))
    tenant.hear(seen(600), now_s=600)
    assert tenant.all_closed_at(1000) == []
    assert tenant.hear(seen(1001), now_s=1001) is Fate.COUNTED


def test_a_late_observation_is_said_in_the_next_summary() -> None:
    """What comes after its window closed is counted as late, once, and changes no window."""
    tenant = Tenant()
    tenant.hear(seen(101), now_s=101)
    tenant.hear(seen(131), now_s=131)
    assert tenant.closed_at(131) == [100]
    assert tenant.hear(seen(102), now_s=131) is Fate.LATE
    assert tenant.closed_at(200) == [100, 130]
    assert [closed.late for closed in tenant.windows.closed] == [0, 1]
    assert [closed.total.images for closed in tenant.windows.closed] == [1, 1]


def test_a_closed_window_never_opens_again() -> None:
    """Nor does one before it that had no images: windows come out oldest first."""
    tenant = Tenant()
    tenant.hear(seen(151), now_s=151)
    assert tenant.closed_at(300) == [150]
    assert tenant.hear(seen(141), now_s=300) is Fate.LATE
    assert tenant.hear(seen(159), now_s=300) is Fate.LATE


def test_a_repeated_verdict_counts_once() -> None:
    """The same outcome again is not another image: in another record, in the same one, or with another event time."""
    tenant = Tenant()
    fates = tenant.hear(seen(101, outcome_id="a"), seen(101, outcome_id="a"), now_s=101)
    assert fates == {Fate.COUNTED: 1, Fate.REPEATED: 1}
    assert tenant.hear(seen(101, outcome_id="a"), now_s=102) is Fate.REPEATED
    assert tenant.hear(seen(115, outcome_id="a"), now_s=102) is Fate.REPEATED
    assert tenant.windows.panes[100_000].rows == 1


def test_a_replayed_record_changes_nothing() -> None:
    """A record at or before the last applied offset was applied."""
    tenant = Tenant()
    tenant.hear(seen(101), now_s=101)
    fates, counted = tenant.windows.apply(rows_of([seen(102)]), offset=0, seen_ms=102_000, now_ms=102_000)
    assert (fates, counted) == ({Fate.REPLAYED: 1}, [])
    assert tenant.windows.panes[100_000].rows == 1


def test_a_full_pane_folds_what_is_saved() -> None:
    """Memory is bounded: what was folded still counts, only its repeats are not recognised any more."""
    tenant = Tenant(rules("10s", max_pane_rows=1))
    tenant.hear(seen(101, outcome_id="a"), seen(101, outcome_id="b"), now_s=102)
    assert tenant.windows.fold_full_panes() == []
    tenant.windows.panes[100_000].saved()
    [(pane, numbers)] = tenant.windows.fold_full_panes()
    assert (pane.start_ms, numbers, pane.rows, pane.folded_rows, pane.segments) == (100_000, range(1), 2, 2, [])
    assert tenant.hear(seen(101, outcome_id="a"), now_s=102) is Fate.COUNTED
    assert tenant.all_closed_at(300) == [("10s", 100, 3)]


def test_a_clock_that_is_ahead_closes_nothing() -> None:
    """An event from the future counts in its window but does not move the watermark past the present."""
    tenant = Tenant()
    tenant.hear(seen(101), now_s=101)
    tenant.hear(seen(160), now_s=104)
    assert tenant.closed_at(104) == []


def test_larger_windows_are_put_together_from_panes() -> None:
    """Tumbling and hopping windows hold the images of their panes, and close when event time has passed their ends."""
    tenant = Tenant(rules("10s", "20s", "20s/10s", "1m"))
    tenant.hear(seen(65), seen(71), seen(72), seen(85), now_s=85)
    assert tenant.all_closed_at(88) == [
        ("10s", 60, 1),
        ("10s", 70, 2),
        ("20s/10s", 50, 1),
        ("20s/10s", 60, 3),
        ("20s", 60, 3),
    ]
    tenant.windows.closed.clear()
    tenant.hear(seen(130), now_s=130)
    assert tenant.all_closed_at(133) == [
        ("10s", 80, 1),
        ("20s/10s", 70, 3),
        ("20s/10s", 80, 1),
        ("20s", 80, 1),
        ("1m", 60, 4),
    ]


def test_a_larger_window_waits_for_its_panes() -> None:
    """It does not close while one of them still receives."""
    tenant = Tenant(rules("10s", "20s"))
    tenant.hear(seen(101), now_s=1000)
    tenant.hear(seen(500), now_s=1000)
    tenant.hear(seen(111), now_s=1002)
    assert tenant.all_closed_at(1004) == [("10s", 100, 1)]
    tenant.hear(seen(501), now_s=1004)
    assert tenant.all_closed_at(1005) == [("10s", 100, 1), ("10s", 110, 1), ("20s", 100, 2)]


def test_what_is_late_for_the_pane_is_late_for_all() -> None:
    """An hour that is still open does not take in an image whose minute is closed; the hour says how many those are."""
    tenant = Tenant(rules("10s", "1m"))
    tenant.hear(seen(61), now_s=61)
    tenant.hear(seen(81), now_s=81)
    assert tenant.all_closed_at(84) == [("10s", 60, 1)]
    assert tenant.hear(seen(62), now_s=85) is Fate.LATE
    assert tenant.all_closed_at(200)[1:] == [("10s", 80, 1), ("1m", 60, 2)]
    assert tenant.windows.closed[-1].late == 1


def test_another_shortest_window_closes_what_was_open() -> None:
    """After the setting was changed, panes of the old length are closed as they are, and so are larger windows that are not kept any more."""
    old = Tenant(rules("10s", "1m", "2m"))
    old.hear(seen(121), now_s=121)
    old.hear(seen(131), now_s=131)
    old.all_closed_at(139)
    new = TenantWindows("acme", rules("20s", "2m"))
    new.restore(old.windows.panes.values(), old.windows.larger.values(), "10s", now_ms=140_000)
    assert new.has_due(140_000)
    new.close_due(140_000)
    assert not new.has_due(140_000)
    assert [(one.spec.name, one.start_ms, one.total.images) for one in new.closed] == [
        ("10s", 130_000, 1),
        ("1m", 120_000, 1),
    ]
    assert (new.closed_until_ms, new.pane_spec.name) == (140_000, "20s")
    assert {key: window.total.images for key, window in new.larger.items()} == {("2m", 120_000): 2}


def test_open_windows_are_bounded() -> None:
    """A backlog of weeks does not make a tenant's record outgrow the topic: the oldest windows close, not too many at once."""
    tenant = Tenant()
    images = [seen(10_000 + 10 * index) for index in range(MAX_OPEN_PANES + CLOSED_AT_ONCE + 2)]
    now_s = 10_000 + 10 * len(images)
    tenant.hear(*images, now_s=now_s)
    assert len(tenant.closed_at(now_s)) == CLOSED_AT_ONCE
    assert tenant.windows.has_due(now_s * 1000)
    tenant.windows.closed.clear()
    assert len(tenant.closed_at(now_s)) == 2
    assert not tenant.windows.has_due(now_s * 1000)
    assert len(tenant.windows.panes) == MAX_OPEN_PANES


def test_rules_that_allow_too_many_windows_are_refused() -> None:
    """Windows of a second with an hour of lateness would not fit into one record."""
    with pytest.raises(ConfigError, match="3902 windows of 1s"):
        WindowRules.of(DriftSettings(windows=("1s",), allowed_lateness_s=3600, max_future_s=300))


def test_a_silent_tenant_is_forgotten_when_nothing_can_be_late() -> None:
    """Its record may go when anything for its closed windows would be too far back to count."""
    tenant = Tenant()
    tenant.hear(seen(101), now_s=101)
    tenant.closed_at(200)
    tenant.windows.closed.clear()
    tenant.windows.merging.clear()
    assert not tenant.windows.forgettable(3_710_000, max_past_ms=3_600_000)
    assert tenant.windows.forgettable(3_710_001, max_past_ms=3_600_000)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 120), batch=st.integers(1, 40))
def test_any_order_within_lateness_equals_a_recount(seed, count, batch) -> None:
    """Whatever the order within the lateness, the batches, the repeats and the replays, every window equals one that is counted in one go."""
    draw = random.Random(seed)
    of = rules("10s", "20s/10s", "30s", "1m")
    images = [
        seen(
            round(draw.uniform(1000, 1100), 3),
            outcome_id=f"id-{index}",
            source=draw.choice(["flux", "real", None]),
            probs=(draw.random(), 0.5),
        )
        for index in range(count)
    ]
    records = sorted(images, key=lambda one: one.event_ms + draw.uniform(0, of.lateness_ms))
    newest = max(one.event_ms for one in images)
    records += draw.choices([one for one in images if one.event_ms > newest - of.lateness_ms], k=2)
    tenant = Tenant(of)
    said: dict[tuple[str, int], bytes] = {}
    for at in range(0, len(records) + batch, batch):
        now_s = 1200 + at if at < len(records) else 10_000
        if at < len(records):
            tenant.hear(*records[at : at + batch], now_s=now_s)
            if draw.random() < 0.2:
                rows = rows_of(records[:batch])
                tenant.windows.apply(rows, offset=tenant.offset, seen_ms=0, now_ms=1000 * now_s)
        while tenant.windows.has_due(1000 * now_s):
            tenant.windows.close_due(1000 * now_s)
            for one in tenant.windows.closed:
                assert (one.spec.name, one.start_ms) not in said
                assert one.late == 0
                said[one.spec.name, one.start_ms] = one.total.to_bytes()
            tenant.windows.closed.clear()
    by_window: dict[tuple[str, int], list] = {}
    for one in images:
        for spec in of.specs:
            for start_ms in spec.starts(one.event_ms):
                by_window.setdefault((spec.name, start_ms), []).append(one)
    assert said == {window: aggregate_of(rows_of(inside), SIZES).to_bytes() for window, inside in by_window.items()}


def test_a_tenant_of_old_images_is_not_forgotten_while_they_are_read() -> None:
    """Its windows are far back when a backlog is read, and others of its images may come yet: they must be late, not a second window."""
    tenant = Tenant()
    tenant.hear(seen(101), now_s=10_000)
    tenant.closed_at(10_100)
    tenant.windows.closed.clear()
    tenant.windows.merging.clear()
    assert not tenant.windows.forgettable(10_100_000, max_past_ms=3_600_000)
    assert tenant.windows.forgettable(13_600_001, max_past_ms=3_600_000)


def test_open_larger_windows_are_bounded() -> None:
    """Images of years at once do not make a tenant's record outgrow the topic: the hours that end first close."""
    tenant = Tenant(rules("10s", "1m"))
    for first in range(0, 2 * MAX_OPEN_LARGER, 100):
        tenant.hear(*[seen(60 * at) for at in range(first, first + 100)], now_s=200_000)
        while tenant.windows.has_due(200_000_000):
            tenant.windows.close_due(200_000_000)
            tenant.windows.closed.clear()
    assert len(tenant.windows.larger) <= MAX_OPEN_LARGER
