"""What a replay says of how long it takes."""

import doctest

import pytest

from streams.rescoring import estimate, screen
from streams.rescoring.estimate import Estimate, duration
from streams.rescoring.screen import pace


def test_at_a_rate_they_take_so_long_at_least_and_without_one_nobody_knows():
    """In seconds."""
    assert (Estimate(matching=90).seconds(0.5), Estimate(matching=90).seconds(None)) == (180, None)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (90_061, "25 h 1 min")]
)
def test_a_duration_is_said_as_a_person_says_it(seconds, said):
    """In two units at most."""
    assert duration(seconds) == said


def test_how_fast_it_goes_is_known_once_something_is_done():
    """And what is waited for is said before anything else."""
    assert pace(0, 10, 5, waiting=None) == ""
    assert pace(30, 90, 10, waiting=None) == "3.0 images/s, 20 s left"
    assert pace(30, 90, 10, waiting="the store is down") == "waiting: the store is down"


def test_the_examples_are_true():
    """Doctest."""
    assert [doctest.testmod(module).failed for module in (estimate, screen)] == [0, 0]
