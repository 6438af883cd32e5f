"""Offsets and the counts beside them: together, and without a gap."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from support.rescoring import DAY

from streams.rescoring.counts import Counts, finished
from streams.rescoring.selection import Selection
from streams.rescoring.terms import Judge, Mark, Terms

TERMS = Terms(selection=Selection(), judge=Judge(version="1", sha256="a" * 64), started=DAY)


def fresh(end=10, **counts):
    return Mark(terms=TERMS, begin=0, end=end, **counts)


def placed(counts):
    return {number: offset for number, (offset, _) in counts.places(run="r", beat=1, is_open=True).items()}


def test_an_offset_moves_only_past_what_is_finished_without_a_gap():
    """The second of three is not."""
    counts = Counts({0: (0, fresh())})
    first, second, third = (counts.register(0, offset) for offset in (0, 1, 2))
    counts.finish(third, "replayed")
    assert placed(counts) == {0: 0}
    counts.finish(first, "object_not_found")
    assert placed(counts) == {0: 1}
    assert counts.total() == {"object_not_found": 1}
    counts.finish(second, "left_out")
    assert placed(counts) == {0: 3}
    assert counts.total() == {"object_not_found": 1, "left_out": 1, "replayed": 1}


def test_what_goes_on_counts_on():
    """From the marks of the last run."""
    counts = Counts({0: (5, fresh(replayed=4, failed={"object_empty": 1}))})
    counts.finish(counts.register(0, 5), "object_empty")
    _, mark = counts.places(run="r", beat=2, is_open=False)[0]
    assert (mark.replayed, mark.failed, mark.run, mark.beat, mark.is_open) == (4, {"object_empty": 2}, "r", 2, False)


def test_a_partition_is_at_its_end_once_it_is_read_out_and_all_is_finished():
    """Behind the last record there may be offsets of transactions."""
    counts = Counts({0: (0, fresh(end=4)), 1: (0, fresh(end=0))})
    entry = counts.register(0, 1)
    counts.read_out(0)
    counts.read_out(1)
    assert not counts.is_complete
    counts.finish(entry, "replayed")
    assert counts.is_complete
    assert placed(counts) == {0: 4, 1: 0}


def test_what_was_left_out_is_no_image_done():
    """For the bar that shows how far it is."""
    assert finished({"left_out": 5, "repeated": 1, "unreadable": 1, "replayed": 3, "object_empty": 2}) == 5


@given(st.data())
def test_in_any_order_the_counts_are_those_of_the_records_before_the_offset(data):
    """Killed at any moment, what is committed is neither more nor less than what lies before."""
    results = data.draw(st.lists(st.sampled_from(["replayed", "left_out", "object_empty"]), min_size=1, max_size=12))
    order = data.draw(st.permutations(range(len(results))))
    counts = Counts({0: (0, fresh(end=99))})
    entries = [counts.register(0, offset) for offset in range(len(results))]
    for index in order:
        counts.finish(entries[index], results[index])
        offset = placed(counts)[0]
        assert counts.total() == Counter(results[:offset])
    assert placed(counts) == {0: len(results)}
