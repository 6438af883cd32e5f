import numpy as np
import pytest
from scipy.stats import betabinom

from training.promises import kept_range


@pytest.mark.parametrize(("rate", "calibration", "test"), [(0.05, 40, 60), (0.1, 99, 300), (0.2, 1000, 5000)])
def test_the_range_is_that_of_the_beta_binomial(rate, calibration, test):
    """Against scipy's."""
    rank = int(np.ceil((calibration + 1) * (1 - rate) - 1e-9))
    expected = betabinom(test, calibration + 1 - rank, rank).ppf([0.025, 0.975]) / test
    assert kept_range(rate, calibration, test) == pytest.approx(expected)


def test_forty_photographs_promise_little():
    """One in twenty asked, and nine of sixty others found would still be a kept promise."""
    low, high = kept_range(0.05, 40, 60)
    assert low == 0
    assert high == 0.15


def test_many_images_promise_much():
    """The range closes around the rate."""
    low, high = kept_range(0.05, 10_000, 10_000)
    assert 0.04 < low < 0.05 < high < 0.06


def test_a_kept_promise_lies_in_the_range_in_95_of_100_tests():
    """Simulated: thresholds from 40 scores, rates on 60 others."""
    rng = np.random.default_rng(0)
    draws = rng.random((4000, 100))
    thresholds = np.sort(draws[:, :40])[:, 38]  # the 39th of 40, for 5 %
    found = (draws[:, 40:] > thresholds[:, None]).mean(1)
    low, high = kept_range(0.05, 40, 60)
    assert 0.94 < ((found >= low) & (found <= high)).mean() <= 1


def test_no_test_image_says_nothing():
    """The range is everything."""
    assert kept_range(0.05, 40, 0) == (0, 1)
