"""An API that fails is left alone."""

import pytest

from streams.narrator.breaker import Breaker


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(failures_in_a_row=3, pause_first_s=10, pause_last_s=35, clock=clock)


def fail(breaker, times=1, **options):
    for _ in range(times):
        breaker.failed(breaker.permit(), "HTTP 500", **options)


def test_it_opens_after_so_many_failures_in_a_row(breaker):
    """An answer in between begins the count anew."""
    fail(breaker, 2)
    breaker.answered()
    fail(breaker, 2)
    assert (breaker.why_open, breaker.is_pausing) == (None, False)
    fail(breaker)
    assert (breaker.why_open, breaker.is_pausing, breaker.permit()) == ("HTTP 500", True, None)


def test_after_the_pause_one_request_at_a_time_is_a_trial(breaker, clock):
    """The others are skipped until it has ended."""
    fail(breaker, 3)
    clock.now = 9.9
    assert breaker.permit() is None
    clock.now = 10
    trial = breaker.permit()
    assert (trial.is_trial, breaker.permit()) == (True, None)
    breaker.answered()
    assert (breaker.why_open, breaker.permit().is_trial) == (None, False)


def test_pauses_double_up_to_the_longest_and_begin_anew_after_an_answer(breaker, clock):
    """10, 20, 35, 35 seconds; then, after an answer and three failures, 10 again."""
    fail(breaker, 3)
    pauses = []
    for _ in range(4):
        began = clock.now
        while breaker.is_pausing:
            clock.now += 1
        pauses.append(clock.now - began)
        fail(breaker)
    assert pauses == [10, 20, 35, 35]
    clock.now += 35
    breaker.permit()
    breaker.answered()
    fail(breaker, 3)
    clock.now += 10
    assert not breaker.is_pausing


@pytest.mark.parametrize(("asked_s", "pause_s"), [(20, 20), (3, 10), (86_400, 35)])
def test_a_request_for_a_longer_wait_opens_it_at_once(breaker, clock, asked_s, pause_s):
    """For as long as is asked, at least the first pause and at most the longest: a day would be none."""
    fail(breaker, retry_after_s=asked_s)
    clock.now = pause_s - 0.1
    assert breaker.is_pausing
    clock.now = pause_s
    assert not breaker.is_pausing


def test_what_was_sent_before_it_opened_says_nothing_new(breaker, clock):
    """Late failures neither lengthen the pause nor end a trial that is under way; a late answer closes it."""
    early = [breaker.permit() for _ in range(7)]
    for permit in early[:3]:
        breaker.failed(permit, "HTTP 500")
    clock.now = 9
    for permit in early[3:6]:
        breaker.failed(permit, "HTTP 500")
    clock.now = 10
    trial = breaker.permit()
    breaker.failed(early[6], "HTTP 500")
    breaker.gave_up(early[6])
    assert (trial.is_trial, breaker.is_pausing) == (True, True)
    breaker.answered()
    assert breaker.why_open is None


def test_a_trial_that_was_given_up_makes_room_for_another(breaker, clock):
    """Its budget was spent, or the narrator stopped: that is no failure of the API."""
    fail(breaker, 3)
    clock.now = 10
    breaker.gave_up(breaker.permit())
    assert breaker.permit().is_trial
