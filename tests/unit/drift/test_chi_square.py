"""The chi-square tail, against scipy."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.drift import chi_square
from streams.drift.chi_square import chi_square_p

stats = pytest.importorskip("scipy.stats", reason="scipy comes with the extra `drift`")


def test_examples_in_docstrings_hold() -> None:
    """The examples print what they say."""
    assert doctest.testmod(chi_square).failed == 0


@given(st.floats(0, 2000), st.integers(1, 300))
def test_equals_scipy(statistic, degrees) -> None:
    """The finite sums are the regularised incomplete gamma function."""
    assert chi_square_p(statistic, degrees) == pytest.approx(stats.chi2.sf(statistic, degrees), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("statistic", [0.0, -1.0])
def test_nothing_is_no_surprise(statistic) -> None:
    """A statistic of 0, or one that rounding made negative, has p = 1."""
    assert chi_square_p(statistic, 3) == 1.0
