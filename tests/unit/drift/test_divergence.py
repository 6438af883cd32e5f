"""Kullback-Leibler divergence and smoothing, against their definitions."""

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.drift import divergence, reference, succession, watermark

CLASSES = ("dalle3", "flux", "real")
counts = st.dictionaries(st.sampled_from(CLASSES), st.integers(0, 10_000))


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
