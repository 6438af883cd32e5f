"""Names from messages as labels: bounded, whatever comes."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

from streams import bounded_names
from streams.bounded_names import OTHER, BoundedNames


def test_the_example_is_true():
    """It is what a reader goes by."""
    assert doctest.testmod(bounded_names).failed == 0


@given(names=st.lists(st.text(max_size=3), max_size=60), most=st.integers(0, 10))
def test_there_are_never_more_names_than_allowed_and_a_known_one_stays_known(names, most):
    """Each is a series that Prometheus keeps; one that changes its label would break every graph of it."""
    bounded = BoundedNames(most)
    first = {}
    for name in names:
        assert first.setdefault(name, bounded(name)) == bounded(name)
    assert len(set(first.values()) - {OTHER}) <= most
