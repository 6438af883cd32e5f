"""Kullback-Leibler divergence and smoothing, against their definitions."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.simulated_answers import SimulatedModel

from schemas.window import Correction, Estimate
from streams.drift import divergence, reference, succession, watermark
from streams.drift.divergence import chi_square, diverge, js_distance, kl_nats, psi, smoothed_shares
from streams.drift.prevalence import Corrected, correct
from streams.drift.reference import Reference

CLASSES = ("dalle3", "flux", "real")
counts = st.dictionaries(st.sampled_from(CLASSES), st.integers(0, 10_000))
USUAL = Reference({"real": 0.98, "flux": 0.01, "dalle3": 0.01}, version="7")


def smoothed(one: dict[str, int]) -> dict[str, float]:
    """Smoothed shares over all classes."""
    return smoothed_shares(one, CLASSES)


@pytest.mark.parametrize("module", [divergence, reference, succession, watermark])
def test_examples_in_docstrings_hold(module) -> None:
    """The examples print what they say."""
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_an_empty_window_is_even() -> None:
    """Without any count, smoothing gives every class the same share."""
    assert divergence.smoothed_shares({}, ["flux", "real"]) == {"flux": 0.5, "real": 0.5}


def test_directions_differ() -> None:
    """KL(p || q) is p log(p/q), not q log(q/p)."""
    p, q = {"flux": 0.75, "real": 0.25}, {"flux": 0.25, "real": 0.75}
    lean = {"flux": 0.5, "real": 0.5}
    assert divergence.kl_nats(p, q) == pytest.approx(0.75 * math.log(3) + 0.25 * math.log(1 / 3))
    assert divergence.kl_nats(p, lean) != pytest.approx(divergence.kl_nats(lean, p))


def test_a_share_of_zero_costs_nothing() -> None:
    """0 log 0 is 0."""
    assert divergence.kl_nats({"flux": 1.0, "real": 0.0}, {"flux": 0.5, "real": 0.5}) == pytest.approx(math.log(2))


@given(counts, counts)
def test_divergence_is_finite_and_zero_only_for_equals(one, other) -> None:
    """Smoothed shares sum to 1, their divergence is finite and not negative, and is zero for equal counts."""
    p, q = divergence.smoothed_shares(one, CLASSES), divergence.smoothed_shares(other, CLASSES)
    assert math.fsum(p.values()) == pytest.approx(1)
    assert 0 <= divergence.kl_nats(p, q) < math.inf
    assert divergence.kl_nats(p, p) == 0


@given(counts, counts)
def test_jensen_shannon_is_the_same_both_ways(one, other) -> None:
    """It is symmetric, 0 for equals, and at most the root of log 2."""
    p, q = smoothed(one), smoothed(other)
    assert js_distance(p, q) == pytest.approx(js_distance(q, p))
    assert js_distance(p, p) == 0
    assert js_distance(p, q) <= math.sqrt(math.log(2)) + 1e-12


@given(counts, counts, counts)
def test_jensen_shannon_is_a_distance(one, other, third) -> None:
    """The way round by a third is no shorter."""
    p, q, r = smoothed(one), smoothed(other), smoothed(third)
    assert js_distance(p, q) <= js_distance(p, r) + js_distance(r, q) + 1e-9


@given(counts, counts)
def test_psi_is_both_directions(one, other) -> None:
    """The index is the sum over classes of (p - q) log(p / q)."""
    p, q = smoothed(one), smoothed(other)
    assert psi(p, q) == pytest.approx(sum((p[name] - q[name]) * math.log(p[name] / q[name]) for name in p), abs=1e-12)
    assert psi(p, q) == pytest.approx(psi(q, p))


def test_the_square_of_jensen_shannon_by_hand() -> None:
    """(KL(p || m) + KL(q || m)) / 2 with m in the middle."""
    p, q = {"flux": 0.75, "real": 0.25}, {"flux": 0.25, "real": 0.75}
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert js_distance(p, q) ** 2 == pytest.approx(expected)


def test_chi_square_equals_scipy() -> None:
    """Statistic and p-value, on the same counts."""
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with the extra `drift`")
    shares = {"dalle3": 0.2, "flux": 0.3, "real": 0.5}
    found = chi_square({"dalle3": 30, "flux": 20, "real": 50}, shares)
    assert found == pytest.approx(tuple(stats.chisquare([30, 20, 50], [20, 30, 50])))


@pytest.mark.parametrize(("seen", "shares"), [({}, {"flux": 0.5, "real": 0.5}), ({"real": 9}, {"real": 1.0})])
def test_chi_square_of_nothing_is_no_surprise(seen, shares) -> None:
    """No counts, or a single class, leave nothing to test."""
    assert chi_square(seen, shares) == (0.0, 1.0)


def test_raw_counts_are_compared_where_nothing_is_corrected() -> None:
    """The point estimates are those of the smoothed counts; the version of the reference is said."""
    seen = {"real": 800, "flux": 150, "dalle3": 50}
    found = diverge(seen, None, USUAL, seed=1)
    assert (found.basis, found.reference_version) == ("raw", "7")
    known = USUAL.over(seen)
    assert found.kl_current_reference_nats.value == pytest.approx(
        kl_nats(smoothed_shares(seen, known), known), abs=1e-6
    )
    assert found.kl_reference_current_nats.value == pytest.approx(
        kl_nats(known, smoothed_shares(seen, known)), abs=1e-6
    )
    assert found.psi.value == pytest.approx(
        found.kl_current_reference_nats.value + found.kl_reference_current_nats.value, abs=2e-6
    )
    assert found.chi_square_p is not None
    assert found.chi_square_p < 1e-9


def test_a_void_correction_leaves_the_raw_counts() -> None:
    """Without shares there is nothing else to compare."""
    void = Corrected(Correction(status="void"), (), None)
    assert diverge({"real": 99, "flux": 1}, void, USUAL, seed=1) == diverge(
        {"real": 99, "flux": 1}, None, USUAL, seed=1
    )


def test_corrected_shares_are_compared_with_corrected_ones() -> None:
    """The reference's own correction is what they are held against, and the counts play no part but in the chi-square."""
    drawn = SimulatedModel().draw(np.random.default_rng(1), 3000, ai=0.02)
    corrected = correct([drawn.answers()], {}, min_images=1, seed=1)
    usual = {"real": 0.98} | dict.fromkeys(("dalle3", "flux", "midjourney", "stable_diffusion"), 0.005)
    both = Reference({"real": 0.5, "flux": 0.5}, corrected=usual)
    found = diverge({"real": 1, "flux": 2}, corrected, both, seed=1)
    assert found.basis == "corrected"
    assert found.kl_current_reference_nats.value < 0.01
    assert found.kl_current_reference_nats.low == 0


def test_a_reference_that_was_counted_and_never_corrected_is_held_against_counts() -> None:
    """A stored one without corrected shares says what the argmax said, errors included: true shares would look like drift beside it."""
    drawn = SimulatedModel().draw(np.random.default_rng(1), 3000, ai=0.02)
    corrected = correct([drawn.answers()], {}, min_images=1, seed=1)
    counted = drawn.counts()
    stored = Reference({name: count / sum(counted.values()) for name, count in counted.items()}, version="3")
    found = diverge(counted, corrected, stored, seed=1)
    assert (found.basis, found.kl_current_reference_nats.low) == ("raw", 0)
    assert found.kl_current_reference_nats.value < 0.01


def test_shares_of_the_settings_are_the_true_ones() -> None:
    """What ops wrote down is what corrected shares are held against."""
    drawn = SimulatedModel().draw(np.random.default_rng(1), 3000, ai=0.5)
    corrected = correct([drawn.answers()], {}, min_images=1, seed=1)
    found = diverge({"real": 1}, corrected, Reference({"real": 0.98, "flux": 0.02}), seed=1)
    assert found.basis == "corrected"
    assert found.kl_current_reference_nats.low > 0.5


def test_a_class_of_the_reference_that_the_model_lacks_takes_part() -> None:
    """Its corrected share is what smoothing gives it."""
    shares = {"flux": Estimate(value=0.1, low=0, high=1), "real": Estimate(value=0.9, low=0, high=1)}
    corrected = Corrected(
        Correction(status="ok", shares=shares, images=100), ("flux", "real"), np.tile([0.1, 0.9], (50, 1))
    )
    found = diverge({}, corrected, Reference({"midjourney": 0.5, "real": 0.5}), seed=1)
    current = {"midjourney": 0.5 / 101.5, "real": 90.5 / 101.5, "flux": 10.5 / 101.5}
    assert found.kl_current_reference_nats.value == pytest.approx(
        kl_nats(current, Reference({"midjourney": 0.5, "real": 0.5}).over(["flux", "real"])), abs=1e-6
    )
    # draws that all agree with the shares are smoothed alike, so the interval is the value
    assert found.kl_current_reference_nats.high == found.kl_current_reference_nats.value


def test_an_empty_window_has_wide_intervals_and_no_error() -> None:
    """Nothing was seen, so the reference remains possible."""
    found = diverge({}, None, USUAL, seed=1)
    assert found.kl_current_reference_nats.low == 0
    assert found.kl_current_reference_nats.high > 1
    assert found.chi_square_p == 1


@given(counts, st.integers(0, 2**32 - 1))
def test_every_value_lies_in_its_interval(seen, seed) -> None:
    """For any counts, and the same again for the same seed."""
    found = diverge(seen, None, USUAL, seed=seed)
    for one in (found.kl_current_reference_nats, found.kl_reference_current_nats, found.js_distance, found.psi):
        assert 0 <= one.low <= one.value <= one.high < math.inf
    assert found == diverge(seen, None, USUAL, seed=seed)


def test_intervals_of_raw_counts_cover() -> None:
    """Of windows of 400 images from a drifted mix at least 90 % have the true divergence in their interval."""
    rng, truth = np.random.default_rng(1), {"dalle3": 0.06, "flux": 0.04, "real": 0.9}
    true = kl_nats(truth, USUAL.over(truth))
    hits = 0
    for seed in range(200):
        seen = dict(zip(truth, rng.multinomial(400, list(truth.values())).tolist(), strict=True))
        kl = diverge(seen, None, USUAL, seed=seed).kl_current_reference_nats
        hits += kl.low <= true <= kl.high
    assert hits >= 180


def test_a_window_like_the_reference_may_be_no_drift_at_all() -> None:
    """The lower end is 0 in most steady windows, although no two samples are equal."""
    rng = np.random.default_rng(1)
    lows = [
        diverge(
            dict(zip(USUAL.shares, rng.multinomial(500, list(USUAL.shares.values())).tolist(), strict=True)),
            None,
            USUAL,
            seed=seed,
        ).kl_current_reference_nats.low
        for seed in range(100)
    ]
    assert sum(low == 0 for low in lows) >= 90
