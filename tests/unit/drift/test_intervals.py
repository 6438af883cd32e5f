"""Draws from the posterior of the shares, where the posterior is known otherwise."""

import numpy as np
import pytest
from support.simulated_answers import REAL_AT, SimulatedModel

from streams.drift import intervals
from streams.drift.intervals import may_be_absent, posterior_draws
from streams.drift.mixing import likelihoods, most_likely_shares


def certain(*counts: int) -> np.ndarray:
    """Likelihoods of images whose class is beyond doubt, so many of each class."""
    return np.repeat(np.where(np.eye(len(counts)), 1.0, 1e-9), counts, axis=0)


def test_with_certain_answers_it_is_the_beta_distribution() -> None:
    """12 AI of 200 under Beta(0.5, 0.5): the posterior is Beta(12.5, 188.5)."""
    shares = np.array([0.06, 0.94])
    draws = np.concatenate(
        [posterior_draws(certain(12, 188), shares, 1, np.random.default_rng(seed))[:, 0] for seed in range(10)]
    )
    exact = np.random.default_rng(1).beta(12.5, 188.5, 200_000)
    assert np.quantile(draws, [0.025, 0.5, 0.975]) == pytest.approx(np.quantile(exact, [0.025, 0.5, 0.975]), rel=0.03)


def test_without_a_single_image_it_still_is() -> None:
    """0 AI of 100: Beta(0.5, 100.5), though the most likely share is 0."""
    draws = np.concatenate(
        [
            posterior_draws(certain(0, 100), np.array([0.0, 1.0]), 1, np.random.default_rng(seed))[:, 0]
            for seed in range(10)
        ]
    )
    exact = np.random.default_rng(1).beta(0.5, 100.5, 200_000)
    assert np.quantile(draws, [0.5, 0.975]) == pytest.approx(np.quantile(exact, [0.5, 0.975]), rel=0.1)


def test_ai_does_not_grow_with_the_number_of_classes() -> None:
    """0 AI of 100 has the same upper end with one generator in the list and with eleven."""
    ends = [
        np.quantile(
            1 - posterior_draws(certain(*[0] * n, 100), np.eye(n + 1)[n], n, np.random.default_rng(3))[:, n], 0.975
        )
        for n in (1, 11)
    ]
    assert ends[1] == pytest.approx(ends[0], rel=0.25)


def test_the_same_seed_draws_the_same() -> None:
    """A recount arrives at the same interval."""
    ratios = likelihoods([SimulatedModel().draw(np.random.default_rng(1), 300, ai=0.1).answers()])
    shares = most_likely_shares(ratios, np.full(5, 0.2))
    one, other = (posterior_draws(ratios, shares, REAL_AT, np.random.default_rng(9)) for _ in range(2))
    assert (one == other).all()
    assert one.shape == (intervals.ROUND, 5)


def test_only_what_left_no_trace_may_be_absent() -> None:
    """Of three classes with 0, 1 and 99 certain images the first alone may have no share."""
    assert may_be_absent(certain(0, 1, 99), np.array([0, 0.01, 0.99])).tolist() == [True, False, False]


def test_many_likelihoods_do_not_underflow() -> None:
    """A proposal that is wrong about thousands of images has a weight of next to nothing, and no warning is raised."""
    draws = posterior_draws(certain(2000, 2000), np.array([0.5, 0.5]), 1, np.random.default_rng(1))
    assert np.isfinite(draws).all()
    assert draws[:, 0].std() == pytest.approx(0.5 / np.sqrt(4000), rel=0.2)
