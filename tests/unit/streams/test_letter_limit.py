"""The limit on dead letters: trips on what a fault of ours looks like, and never on a verdict."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.letter_limit import LetterLimit
from streams.settings import PipelineSettings


def limit(in_a_row=0, share=1.0, window=10):
    return LetterLimit(
        PipelineSettings(dead_letters_in_a_row=in_a_row, dead_letter_share=share, dead_letter_window=window)
    )


def test_so_many_in_a_row_are_admitted_and_no_more():
    """The limit is what may be published; the next one is held, and all after it."""
    three = limit(in_a_row=3)
    assert [three.admits(0, is_letter=True) for _ in range(5)] == [True, True, True, False, False]
    assert three.tripped == "partition 0: 3 dead letters in a row"


def test_a_verdict_in_between_starts_the_row_anew():
    """Some bad references among good ones are life."""
    three = limit(in_a_row=3)
    for _ in range(100):
        assert three.admits(0, is_letter=True)
        assert three.admits(0, is_letter=True)
        assert three.admits(0, is_letter=False)
    assert three.tripped is None


def test_partitions_are_counted_apart():
    """One tenant's garbage, keyed to one partition, does not add up with another's."""
    three = limit(in_a_row=3)
    for partition in range(50):
        assert three.admits(partition, is_letter=True)
        assert three.admits(partition, is_letter=True)
    assert three.tripped is None
    assert three.admits(7, is_letter=True)
    assert not three.admits(7, is_letter=True)
    assert three.tripped == "partition 7: 3 dead letters in a row"


def test_once_tripped_it_holds_every_partition_and_every_dead_letter():
    """What refuses them now would refuse them in a minute, too."""
    one = limit(in_a_row=1)
    one.admits(0, is_letter=True)
    one.admits(0, is_letter=True)
    assert one.tripped
    assert one.admits(0, is_letter=False)
    assert not one.admits(0, is_letter=True)
    assert not one.admits(1, is_letter=True)


def test_a_share_needs_a_whole_window():
    """Nine bad ones are no share of anything while only nine are known."""
    shares = limit(share=0.5, window=10)
    assert all(shares.admits(0, is_letter=True) for _ in range(10))
    assert not shares.admits(0, is_letter=True)
    assert shares.tripped == "partition 0: 10 dead letters among the last 10 references"


def test_a_share_below_the_limit_never_trips():
    """40 % bad with a limit of 50 %: no end of dead letters, and every one is let through."""
    shares = limit(share=0.5, window=10)
    for n in range(1000):
        assert shares.admits(0, is_letter=n % 5 < 2)
    assert shares.tripped is None


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=300))
def test_zero_and_one_switch_it_off(history):
    """Property: with 0 in a row and a share of 1 everything is admitted, be it all dead letters."""
    off = limit(in_a_row=0, share=1.0, window=5)
    assert all(off.admits(partition, is_letter=letter) for partition, letter in history)
    assert off.tripped is None


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=200),
    st.integers(0, 6),
    st.sampled_from((0.0, 0.3, 0.5, 0.9, 1.0)),
    st.integers(1, 12),
)
def test_it_admits_what_a_plain_count_admits(history, in_a_row, share, window):
    """Property: against the last references of each partition in a list; verdicts always pass, and nothing trips on one."""
    tested, seen, tripped = limit(in_a_row=in_a_row, share=share, window=window), {}, False
    for partition, letter in history:
        row, last = seen.setdefault(partition, ([], deque(maxlen=window)))
        if letter:
            over_row = in_a_row > 0 and len(row) >= in_a_row
            over_share = share < 1 and len(last) == window and sum(last) >= share * window
            tripped = tripped or over_row or over_share
        expected = not (letter and tripped)
        before = tested.tripped
        assert tested.admits(partition, is_letter=letter) is expected
        if not letter:
            assert tested.tripped == before
        if expected:
            row.append(letter) if letter else row.clear()
            last.append(letter)
    assert (tested.tripped is not None) == tripped


@pytest.mark.parametrize("share", [0.0, 0.01])
def test_a_share_of_nothing_trips_at_the_first_after_a_whole_window(share):
    """Whoever sets 0 wants no dead letter at all, and must not get a fault instead."""
    none = limit(share=share, window=3)
    for _ in range(3):
        none.admits(0, is_letter=False)
    assert none.admits(0, is_letter=True) is (share > 0)
