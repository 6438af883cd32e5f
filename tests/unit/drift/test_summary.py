"""What is said of a closed window."""

from datetime import UTC, datetime

import pytest

from streams.drift.reference import FixedReferences, Reference
from streams.drift.summary import Judge
from streams.drift.windows import ClosedWindow, Window

EVEN = FixedReferences(Reference({"real": 0.5, "flux": 0.5}))


def closed(late: int = 0, **counts: int) -> ClosedWindow:
    window = Window(start_ms=1_000_000, size_ms=300_000, images=sum(counts.values()))
    window.counts.update(counts)
    return ClosedWindow(window, late)


def test_a_summary_says_the_window() -> None:
    """Times, counts, sums and what was late come out as they went in; absent fields are left out."""
    window = Window(start_ms=1_000_000, size_ms=300_000, images=3, undecided=1)
    window.counts.update(flux=1, real=1)
    window.verdicts.update(ai_generated=1, real=1, inconclusive=1)
    window.micro_probabilities.update(flux=1_250_000, real=1_750_000)
    window.models.update(["m2", "m1"])
    summary = (
        Judge(FixedReferences(None), threshold=0.25, min_images=1)
        .summary("acme", ClosedWindow(window, late=4))
        .to_json()
    )
    assert summary.pop("window_id") == "4715eacfa1b3f21c8a5819a7e7e558f5eed704a2"
    assert summary == {
        "schema": "deeptrace.window/1",
        "tenant": "acme",
        "start": "1970-01-01T00:16:40.000Z",
        "end": "1970-01-01T00:21:40.000Z",
        "images": 3,
        "counts": {"flux": 1, "real": 1},
        "probability_sums": {"flux": 1.25, "real": 1.75},
        "verdicts": {"ai_generated": 1, "real": 1, "inconclusive": 1},
        "undecided": 1,
        "late": 4,
        "candidates": [],
        "model_versions": ["m1", "m2"],
    }


def test_both_directions_of_the_divergence() -> None:
    """KL(current || reference) and KL(reference || current), smoothed, in nats."""
    summary = Judge(EVEN, threshold=0.25, min_images=1).summary("acme", closed(flux=90, real=10))
    assert summary.kl_current_reference_nats == pytest.approx(0.359448, abs=1e-6)
    assert summary.kl_reference_current_nats == pytest.approx(0.493611, abs=1e-6)


def test_below_the_least_count_there_is_no_divergence() -> None:
    """A divergence of a few images would say nothing; it is absent, not zero."""
    summary = Judge(EVEN, threshold=0.25, min_images=101).summary("acme", closed(flux=90, real=10))
    assert summary.kl_current_reference_nats is None
    assert summary.kl_reference_current_nats is None


def test_an_alert_over_the_threshold() -> None:
    """It names the value, the threshold, what grew and what shrank, and the window it is about."""
    judge = Judge(EVEN, threshold=0.25, min_images=100)
    summary = judge.summary("acme", closed(flux=90, real=10))
    alert = judge.alert(summary)
    assert alert is not None
    assert (alert.window_id, alert.value, alert.threshold) == (
        summary.window_id,
        summary.kl_current_reference_nats,
        0.25,
    )
    assert (alert.most_grown, alert.most_shrunk) == ("flux", "real")
    assert alert.shares == {"real": 0.1, "flux": 0.9}
    assert alert.end == datetime(1970, 1, 1, 0, 21, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    "judge", [Judge(EVEN, 0.36, 100), Judge(EVEN, 0.25, 101), Judge(FixedReferences(None), 0.25, 1)]
)
def test_no_alert(judge) -> None:
    """Not at or under the threshold, not below the least count, not without a reference."""
    assert judge.alert(judge.summary("acme", closed(flux=90, real=10))) is None


def test_a_class_the_reference_does_not_know_raises_an_alert() -> None:
    """A generator that was never there before is drift, and a finite one."""
    judge = Judge(EVEN, threshold=0.25, min_images=100)
    alert = judge.alert(judge.summary("acme", closed(flux=40, real=40, unknown_generator=20)))
    assert alert is not None
    assert alert.most_grown == "unknown_generator"


def test_the_odd_image_of_an_unknown_generator_raises_none() -> None:
    """Some images of known classes are called novel at any threshold: one in a hundred is no drift, and is seen in the counts."""
    judge = Judge(EVEN, threshold=0.25, min_images=100)
    summary = judge.summary("acme", closed(flux=495, real=495, unknown_generator=10))
    assert summary.counts["unknown_generator"] == 10
    assert summary.kl_current_reference_nats == pytest.approx(0.015, abs=0.005)
    assert judge.alert(summary) is None


def test_ids_follow_from_the_window_alone() -> None:
    """The same window of the same tenant has the same id, another tenant's or length's another."""
    judge = Judge(FixedReferences(None), 0.25, 1)
    one, same = judge.summary("acme", closed(flux=1)), judge.summary("acme", closed(real=5))
    other = judge.summary("acme2", closed(flux=1))
    assert one.window_id == same.window_id != other.window_id
    shorter = judge.summary("acme", ClosedWindow(Window(start_ms=1_000_000, size_ms=60_000), 0))
    assert shorter.window_id != one.window_id
