"""What closed windows become on `/metrics`: the latest of each kind, under labels that are bounded whatever a summary names."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from schemas.window import Correction, Divergences, DriftAlert, Estimate, WindowSummary
from streams.drift.metrics import DriftMetrics
from streams.drift.window_metrics import MAX_SOURCES, WindowMetrics
from streams.settings import DriftSettings

START = datetime(2026, 9, 21, tzinfo=UTC)


def estimate(value, margin=0.01):
    return Estimate(value=value, low=value - margin, high=value + margin)


def summary(number=0, **changes):
    """A window of a minute in which the raw share of AI is 14 % and the corrected one 2 %."""
    start = START + number * timedelta(minutes=1)
    fields = {
        "window_id": f"{number:040x}",
        "tenant": "*",
        "window": "1m",
        "start": start,
        "end": start + timedelta(minutes=1),
        "images": 200,
        "counts": {"real": 172, "flux": 28},
        "probability_sums": {"real": 160.0, "flux": 40.0},
        "verdicts": {"real": 172, "ai_generated": 18, "inconclusive": 10},
        "raw_shares": {"real": 0.86, "flux": 0.14},
        "correction": Correction(
            status="ok", shares={"real": estimate(0.98), "flux": estimate(0.02)}, ai=estimate(0.02), images=200
        ),
        "reference": {"real": 0.98, "flux": 0.02},
        "divergences": Divergences(
            basis="corrected",
            kl_current_reference_nats=estimate(0.05),
            kl_reference_current_nats=estimate(0.06),
            js_distance=estimate(0.1),
            psi=estimate(0.11),
        ),
    }
    return WindowSummary.model_validate(fields | changes)


def alert(state):
    return DriftAlert(
        alert_id="a",
        window_id="w",
        tenant="*",
        window="1m",
        start=START,
        end=START,
        images=200,
        state=state,
        value=0.4,
        threshold=0.25,
        shares={},
        reference={},
    )


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def latest(registry):
    return WindowMetrics(registry, tenants=("acme",))


def value(registry, name, **labels):
    return registry.get_sample_value(f"deeptrace_drift_{name}", {"tenant": "*", "window": "1m"} | labels)


def test_raw_and_corrected_shares_stand_side_by_side(registry, latest):
    """The one that lies beside the one that does not, with its interval and the reference."""
    latest.show(summary())
    kinds = ("raw", "corrected", "low", "high", "reference")
    assert [value(registry, "window_share", source="flux", kind=kind) for kind in kinds] == pytest.approx(
        [0.14, 0.02, 0.01, 0.03, 0.02]
    )
    assert [value(registry, "window_ai_share", kind=kind) for kind in kinds] == pytest.approx(
        [0.14, 0.02, 0.01, 0.03, 0.02]
    )
    assert value(registry, "window_verdict_share", verdict="inconclusive") == 0.05
    assert value(registry, "window_latest_images") == 200
    assert value(registry, "window_end_timestamp_seconds") == START.timestamp() + 60


def test_statistics_carry_their_bounds(registry, latest):
    """An alert is about the lower bound, so that one is shown."""
    latest.show(summary())
    found = [
        value(registry, "statistic", statistic="kl_current_reference_nats", bound=bound)
        for bound in ("value", "low", "high")
    ]
    assert found == pytest.approx([0.05, 0.04, 0.06])
    assert value(registry, "statistic", statistic="js_distance", bound="value") == 0.1


def test_a_void_correction_shows_no_share(registry, latest):
    """The last share that held is gone, and the status says why."""
    latest.show(summary(0))
    latest.show(summary(1, correction=Correction(status="void", reason="goodness of fit")))
    assert value(registry, "window_share", source="flux", kind="corrected") is None
    assert value(registry, "window_share", source="flux", kind="raw") == 0.14
    assert [value(registry, "correction", status=status) for status in ("ok", "void", "none")] == [0, 1, 0]


def test_a_class_that_is_gone_does_not_stay_with_its_last_share(registry, latest):
    """Another model has other classes."""
    latest.show(summary(0))
    latest.show(summary(1, raw_shares={"real": 1.0}, correction=None, reference=None, divergences=None))
    assert value(registry, "window_share", source="flux", kind="raw") is None
    assert value(registry, "correction", status="none") == 1
    assert value(registry, "episode_active") == 0


def test_an_older_window_does_not_take_the_place_of_a_newer_one(registry, latest):
    """What a worker publishes again after a crash may be older than what it has closed since."""
    latest.show(summary(1))
    latest.show(summary(0, images=7))
    assert value(registry, "window_latest_images") == 200


def test_an_episode_lasts_from_raised_to_resolved(registry, latest):
    """The state that the window ends with."""
    drifting = summary().divergences.model_copy(update={"state": "drifting"})
    latest.show(summary(0, divergences=drifting))
    assert value(registry, "episode_active") == 1
    latest.show(summary(1))
    assert value(registry, "episode_active") == 0


def test_an_episode_goes_on_through_a_window_of_too_few_images(registry, latest):
    """Such a window says nothing either way; without an episode it is no beginning of one."""
    few = summary().divergences.model_copy(update={"state": "too_few"})
    latest.show(summary(0, divergences=few.model_copy(update={"episode_id": "e"})))
    assert value(registry, "episode_active") == 1
    latest.show(summary(1, divergences=few))
    assert value(registry, "episode_active") == 0


def test_episodes_of_all_tenants_are_counted(registry, latest):
    """Also of those that are no label; one that is not heard of any more counts no longer."""
    drifting = summary().divergences.model_copy(update={"state": "drifting"})
    for tenant in ("*", "globex", "initech"):
        latest.show(summary(0, tenant=tenant, divergences=drifting))
    latest.show(summary(0, tenant="globex", window="1h", divergences=drifting))
    assert registry.get_sample_value("deeptrace_drift_episodes_active") == 4
    latest.show(summary(1, tenant="initech"))
    latest.drop("globex")
    assert registry.get_sample_value("deeptrace_drift_episodes_active") == 1
    latest.forget()
    assert registry.get_sample_value("deeptrace_drift_episodes_active") == 0


def test_kinds_of_windows_do_not_mix(registry, latest):
    """A minute and an hour close beside each other."""
    latest.show(summary(images=60))
    latest.show(summary(window="1h", images=3600))
    assert value(registry, "window_latest_images") == 60
    assert value(registry, "window_latest_images", window="1h") == 3600


def test_only_named_tenants_are_labels(registry, latest):
    """Tenants come by the thousand."""
    latest.show(summary(tenant="acme"))
    latest.show(summary(tenant="globex"))
    assert value(registry, "window_latest_images", tenant="acme") == 200
    assert value(registry, "window_latest_images", tenant="globex") is None


def test_what_another_worker_has_now_is_not_shown(registry, latest):
    """Two workers would show two truths; after a rebalance an older window may come again."""
    latest.show(summary(5))
    latest.forget()
    assert value(registry, "window_share", source="flux", kind="raw") is None
    latest.show(summary(3))
    assert value(registry, "window_latest_images") == 200


def test_sources_beyond_the_limit_share_one_label(registry, latest):
    """A made-up model with a thousand classes makes no thousand series; their shares are summed."""
    shares = {f"class-{n}": 0.001 for n in range(1000)}
    latest.show(summary(raw_shares=shares, correction=None, reference=None))
    assert value(registry, "window_share", source="other", kind="raw") == pytest.approx(0.001 * (1000 - MAX_SOURCES))
    series = [sample for family in registry.collect() for sample in family.samples if "window_share" in sample.name]
    assert len(series) == MAX_SOURCES + 1


def test_closed_windows_alerts_and_candidates_are_counted_by_kind():
    """One alert that is raised, one that is resolved, two candidates."""
    metrics = DriftMetrics()
    metrics.closed(summary(0, kl_current_reference_nats=0.4, candidates=("c1", "c2")), (alert("raised"),))
    metrics.closed(summary(1), (alert("resolved"),))
    metrics.closed(summary(2, window="1h", tenant="globex"))

    def counted(name, **labels):
        return metrics.registry.get_sample_value(f"deeptrace_drift_{name}", labels)

    assert counted("windows_total", window="1m") == 2
    assert counted("windows_total", window="1h") == 1
    assert counted("alerts_total", window="1m", state="raised") == 1
    assert counted("alerts_total", window="1m", state="resolved") == 1
    assert counted("candidates_total", window="1m") == 2
    assert counted("corrections_total", window="1m", status="ok") == 2
    assert counted("kl_nats_count", direction="current_reference", window="1m") == 1
    assert counted("kl_nats_count", direction="reference_current", window="1m") is None


def test_the_threshold_is_shown_beside_the_statistics():
    """A line on the dashboard that is the one the alerts go by."""
    metrics = DriftMetrics(DriftSettings(threshold=0.4))
    assert metrics.registry.get_sample_value("deeptrace_drift_threshold_nats") == 0.4


def test_what_alerts_go_by_is_there_before_it_happens():
    """A counter whose first sample is 1 has not increased, as Prometheus sees it, and the first drift of a worker's life would be missed."""
    registry = DriftMetrics(DriftSettings(windows=("1m", "1h/10m"))).registry
    for window in ("1m", "1h/10m"):
        assert registry.get_sample_value("deeptrace_drift_alerts_total", {"window": window, "state": "raised"}) == 0
        assert registry.get_sample_value("deeptrace_drift_candidates_total", {"window": window}) == 0
    assert registry.get_sample_value("deeptrace_drift_observations_total", {"fate": "late"}) == 0
