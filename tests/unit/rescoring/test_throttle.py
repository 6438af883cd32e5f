"""At most so many a second, on a clock that only sleeping moves."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UsageError
from streams.rescoring import throttle
from streams.rescoring.throttle import Throttle, parse_rate


class Clock:
    """Stands still but for sleepers, and for whoever sets it."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


async def times(rate, count, clock):
    bucket = Throttle(rate, clock=clock, sleep=clock.sleep)
    begun = []
    for _ in range(count):
        await bucket.take()
        begun.append(clock.now - 100)
    return begun


async def test_one_after_the_other_at_the_rate():
    """There is no burst at the start."""
    assert await times(4, 5, Clock()) == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])


async def test_what_was_not_used_is_kept_for_a_second_and_no_longer():
    """After a store that was away for an hour there is no rush."""
    clock = Clock()
    bucket = Throttle(4, clock=clock, sleep=clock.sleep)
    await bucket.take()
    clock.now += 3600
    start = clock.now
    for _ in range(8):
        await bucket.take()
    assert clock.now - start == pytest.approx(1.0)


async def test_what_goes_before_the_first_gives_nobody_a_burst():
    """A model may have taken a minute to load."""
    clock = Clock()
    bucket = Throttle(4, clock=clock, sleep=clock.sleep)
    clock.now += 60
    start = clock.now
    for _ in range(5):
        await bucket.take()
    assert clock.now - start == pytest.approx(1.0)


async def test_without_a_rate_nobody_waits():
    """`--rate max`."""
    assert await times(None, 3, Clock()) == [0, 0, 0]


@given(rate=st.floats(0.001, 10_000), count=st.integers(1, 60))
async def test_it_never_lets_more_through_than_the_rate(rate, count):
    """From the first on, at any rate."""
    begun = await times(rate, count, Clock())
    assert begun[-1] == pytest.approx((count - 1) / rate, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("text", "rate"), [("20/s", 20), ("20", 20), ("300/m", 5), ("1.5/s", 1.5), ("max", None)])
def test_a_rate_is_so_many_in_a_time(text, rate):
    """A second where none is named."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "0/s", "-1/s", "fast", "1/d", "1e3", "nan", "\u0661/s"])
def test_other_rates_are_refused(text):
    """Also one that would never begin."""
    with pytest.raises(UsageError, match="not a rate"):
        parse_rate(text)


def test_the_examples_are_true():
    """Doctest."""
    assert doctest.testmod(throttle).failed == 0
