"""The windows of one tenant, as a fold over observations."""

import random
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigError
from schemas.window import Observation
from streams.drift.windows import MAX_OPEN_WINDOWS, Fate, TenantWindows, WindowRules
from streams.settings import DriftSettings

RULES = WindowRules(size_ms=10_000, lateness_ms=5_000, max_future_ms=60_000, max_past_ms=3_600_000, idle_ms=3_000)


class Tenant:
    """Windows with a clock that is told: each observation is the next record, written and applied `now_s`."""

    def __init__(self, rules: WindowRules = RULES) -> None:
        self.windows = TenantWindows("acme", rules)
        self.offset = -1

    def hear(self, observation, now_s: float) -> Fate:
        self.offset += 1
        return self.windows.apply(observation, offset=self.offset, seen_ms=int(now_s * 1000), now_ms=int(now_s * 1000))

    def closed_at(self, now_s: float) -> list[int]:
        """Return the starts, in seconds, of the windows that are closed by then."""
        self.windows.close_due(int(now_s * 1000))
        return [closed.window.start_ms // 1000 for closed in self.windows.closed]


def test_counts_by_class_and_sums_probabilities(observe) -> None:
    """A window has hard counts, summed probabilities, verdicts, undecided ones and the models that judged."""
    tenant = Tenant()
    tenant.hear(observe(101, source="flux", probs={"flux": 0.7, "real": 0.3}), 110)
    tenant.hear(observe(102, source=None, probs={"flux": 0.5, "real": 0.5}, model="m2"), 110)
    window = tenant.windows.open[100_000]
    assert window.images == 2
    assert window.counts == {"flux": 1}
    assert window.undecided == 1
    assert window.verdicts == {"ai_generated": 1, "inconclusive": 1}
    assert window.micro_probabilities == {"flux": 1_200_000, "real": 800_000}
    assert window.models == {"m1", "m2"}


def test_an_unknown_generator_is_ai_and_of_no_class_the_model_knows(observe) -> None:
    """It is decided and counted under its own name; probabilities are summed over the model's classes alone, and what is withheld is beside."""
    tenant = Tenant()
    tenant.hear(observe(101, source="unknown_generator", probs={"flux": 0.7, "real": 0.3}), 110)
    withheld = [
        observe(102 + n, source=None).model_copy(update={"verdict": name})
        for n, name in enumerate(["inconclusive", "not_assessable"])
    ]
    for one in withheld:
        tenant.hear(one, 110)
    window = tenant.windows.open[100_000]
    assert window.counts == {"unknown_generator": 1}
    assert window.verdicts == {"ai_generated": 1, "inconclusive": 1, "not_assessable": 1}
    assert (window.images, window.undecided) == (3, 2)
    assert window.micro_probabilities == {"flux": 700_000, "real": 300_000}


def test_a_moment_on_the_border_belongs_to_the_next_window(observe) -> None:
    """Windows include their start and exclude their end."""
    tenant = Tenant()
    tenant.hear(observe(109.999), 120)
    tenant.hear(observe(110), 120)
    assert sorted(tenant.windows.open) == [100_000, 110_000]


def test_event_time_past_the_lateness_closes(observe) -> None:
    """A window closes once an event lies the allowed lateness behind its end, and not before."""
    tenant = Tenant()
    tenant.hear(observe(101), 101)
    tenant.hear(observe(114.9), 115)
    assert tenant.closed_at(115) == []
    tenant.hear(observe(115), 115)
    assert tenant.closed_at(115) == [100]


def test_a_window_that_still_receives_stays_open(observe) -> None:
    """While a backlog is read unevenly, a window is not closed under the images that still come for it."""
    tenant = Tenant()
    tenant.hear(observe(101), 1000)
    tenant.hear(observe(500), 1000)
    assert tenant.closed_at(1000) == []
    assert tenant.hear(observe(102), 1002) is Fate.COUNTED
    tenant.hear(observe(501), 1003)
    assert tenant.closed_at(1004) == []
    assert tenant.closed_at(1005) == [100]


def test_silence_closes_by_the_clock(observe) -> None:
    """When traffic stops, the last window closes when its end and the lateness have passed by the clock."""
    tenant = Tenant()
    tenant.hear(observe(109), 109)
    assert tenant.closed_at(114.9) == []
    assert tenant.closed_at(115) == [100]


def test_silence_closes_no_window_that_has_not_ended(observe) -> None:
    """A tenant with an image now and then keeps its window until it ends, however long the pause."""
    rules = WindowRules(size_ms=600_000, lateness_ms=5_000, max_future_ms=0, max_past_ms=3_600_000, idle_ms=3_000)
    tenant = Tenant(rules)
    tenant.hear(observe(600), 600)
    assert tenant.closed_at(1000) == []
    assert tenant.hear(observe(1001), 1001) is Fate.COUNTED


def test_a_late_observation_is_said_in_the_next_summary(observe) -> None:
    """What comes after its window closed is counted as late, once, and changes no window."""
    tenant = Tenant()
    tenant.hear(observe(101), 101)
    tenant.hear(observe(131), 131)
    assert tenant.closed_at(131) == [100]
    assert tenant.hear(observe(102), 131) is Fate.LATE
    assert tenant.closed_at(200) == [100, 130]
    assert [closed.late for closed in tenant.windows.closed] == [0, 1]
    assert [closed.window.images for closed in tenant.windows.closed] == [1, 1]


def test_a_closed_window_never_opens_again(observe) -> None:
    """Nor does one before it that had no images: windows come out oldest first."""
    tenant = Tenant()
    tenant.hear(observe(151), 151)
    assert tenant.closed_at(300) == [150]
    assert tenant.hear(observe(141), 300) is Fate.LATE
    assert tenant.hear(observe(159), 300) is Fate.LATE


def test_a_repeated_verdict_counts_once(observe) -> None:
    """The same outcome again, from another record, is not another image."""
    tenant = Tenant()
    tenant.hear(observe(101, outcome_id="a"), 101)
    assert tenant.hear(observe(101, outcome_id="a"), 102) is Fate.REPEATED
    assert tenant.windows.open[100_000].images == 1


def test_a_replayed_record_changes_nothing(observe) -> None:
    """A record at or before the last applied offset was applied."""
    tenant = Tenant()
    tenant.hear(observe(101), 101)
    assert tenant.windows.apply(observe(102), offset=0, seen_ms=102_000, now_ms=102_000) is Fate.REPLAYED
    assert tenant.windows.open[100_000].images == 1


def test_beyond_the_bound_ids_are_not_remembered(observe) -> None:
    """Memory is bounded: images over the bound still count, only their repeats are not recognised."""
    tenant = Tenant(
        WindowRules(
            size_ms=10_000, lateness_ms=0, max_future_ms=0, max_past_ms=3_600_000, idle_ms=1, max_remembered_ids=1
        )
    )
    tenant.hear(observe(101, outcome_id="a"), 102)
    tenant.hear(observe(101, outcome_id="b"), 102)
    assert tenant.windows.open[100_000].images == 2
    assert len(tenant.windows.open[100_000].ids) == 1


@pytest.mark.parametrize(
    ("at_s", "fate"),
    [
        (4000 + 61, Fate.TOO_FAR_AHEAD),
        (4000 + 59, Fate.COUNTED),
        (4000 - 3599, Fate.COUNTED),
        (4000 - 3601, Fate.TOO_FAR_BACK),
    ],
)
def test_times_that_cannot_be_true_are_left_out(observe, at_s, fate) -> None:
    """Event times too far from when the record was written enter no window."""
    assert Tenant().hear(observe(at_s), 4000) is fate


def test_a_clock_that_is_ahead_closes_nothing(observe) -> None:
    """An event from the future counts in its window but does not move the watermark past the present."""
    tenant = Tenant()
    tenant.hear(observe(101), 101)
    tenant.hear(observe(160), 104)
    assert tenant.closed_at(104) == []


def test_another_window_length_closes_what_was_open(observe) -> None:
    """After the setting was changed, windows of the old length are closed as they are."""
    old = Tenant()
    old.hear(observe(101), 101)
    longer = TenantWindows("acme", WindowRules(20_000, 5_000, 60_000, 3_600_000, 3_000))
    longer.restore(old.windows.open.values(), now_ms=102_000)
    assert [closed.window.end_ms for closed in longer.closed] == [110_000]
    assert longer.closed_until_ms == 110_000


def test_open_windows_are_bounded(observe) -> None:
    """A backlog of weeks does not make a tenant's record outgrow the topic: the oldest window closes."""
    tenant = Tenant(WindowRules(10_000, 5_000, 60_000, 10**9, 3_000))
    for index in range(MAX_OPEN_WINDOWS + 2):
        tenant.hear(observe(10_000 + 10 * index), 10_000 + 10 * MAX_OPEN_WINDOWS)
    tenant.windows.close_due(1000 * (10_000 + 10 * MAX_OPEN_WINDOWS))
    assert len(tenant.windows.open) == MAX_OPEN_WINDOWS


def test_rules_that_allow_too_many_windows_are_refused() -> None:
    """Windows of a second with an hour of lateness would not fit into one record."""
    with pytest.raises(ConfigError, match="3902 windows"):
        WindowRules.of(DriftSettings(window_s=1, allowed_lateness_s=3600, max_future_s=300))


def test_a_silent_tenant_is_forgotten_when_nothing_can_be_late(observe) -> None:
    """Its record may go when anything for its closed windows would be too far back to count."""
    tenant = Tenant()
    tenant.hear(observe(101), 101)
    tenant.closed_at(200)
    tenant.windows.closed.clear()
    assert not tenant.windows.forgettable(3_710_000)
    assert tenant.windows.forgettable(3_710_001)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 120), batch=st.integers(1, 40))
def test_any_order_within_lateness_equals_a_recount(seed, count, batch) -> None:
    """Whatever the order within the lateness, the batches, the repeats and the replays, windows equal a plain recount."""
    draw = random.Random(seed)
    events = [(draw.uniform(1000, 1100), f"id-{index}", draw.choice(["flux", "real", None])) for index in range(count)]
    events.sort(key=lambda event: event[0] + draw.uniform(0, RULES.lateness_ms / 1000))
    open_still = [event for event in events if event[0] > max(events)[0] - RULES.lateness_ms / 1000]
    events += draw.choices(open_still, k=2)
    tenant = Tenant()
    for index, (at_s, outcome_id, source) in enumerate(events):
        observation = Observation(
            outcome_id=outcome_id,
            tenant="acme",
            event_time=datetime.fromtimestamp(round(at_s, 3), UTC),
            verdict="inconclusive" if source is None else "real",
            predicted_source=source,
            model_version="m",
        )
        tenant.hear(observation, 1200 + index)
        if draw.random() < 0.2:
            tenant.windows.apply(observation, offset=tenant.offset, seen_ms=0, now_ms=1000 * (1200 + index))
        if index % batch == 0:
            tenant.windows.close_due(1000 * (1200 + index))
    tenant.windows.close_due(10_000_000)
    images = Counter(int(round(at_s, 3) // 10 * 10) for at_s, _, _ in events[:count])
    decided = Counter(int(round(at_s, 3) // 10 * 10) for at_s, _, source in events[:count] if source is not None)
    assert {one.window.start_ms // 1000: one.window.images for one in tenant.windows.closed} == images
    assert {
        one.window.start_ms // 1000: one.window.counts.total() for one in tenant.windows.closed if one.window.counts
    } == decided
    assert sum(one.late for one in tenant.windows.closed) == 0
