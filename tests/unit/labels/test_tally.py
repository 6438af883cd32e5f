"""Live precision and recall, and how sure they are."""

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.labels import tally as module
from streams.labels.judging import Stated, Word, judge
from streams.labels.tally import Rate, Row, tally

CLASSES = ("flux", "midjourney", "real")
STATED = [
    Stated("ai_generated", "flux", CLASSES),
    Stated("ai_generated", "midjourney", CLASSES),
    Stated("real", "real", CLASSES),
    Stated("ai_generated", "unknown_generator", CLASSES),
    Stated("inconclusive", None, CLASSES),
]
FLUX, MIDJOURNEY, REAL, UNKNOWN, WITHHELD = STATED
CORRECT = Word("correct")


def of(*outcomes):
    return tally((stated, judge(stated, words)) for stated, *words in outcomes)


def test_a_few_labels_by_hand():
    """Precision over what was stated, recall over what is known to be true; a withheld verdict found nothing."""
    counts = of(
        (FLUX, CORRECT),
        (FLUX, CORRECT),
        (FLUX, Word("incorrect", "real")),
        (FLUX, Word("incorrect")),
        (REAL, CORRECT),
        (REAL, Word("incorrect", "flux")),
        (REAL, Word("incorrect")),
        (WITHHELD, Word("incorrect", "flux")),
    )
    assert {
        row.source: (row.precision.count, row.precision.of, row.recall.count, row.recall.of) for row in counts.rows()
    } == {
        "ai_generated": (2, 3, 2, 5),
        "flux": (2, 4, 2, 4),
        "real": (1, 3, 1, 2),
    }
    assert counts.as_json()["confusion"] == {
        "flux": {"flux": 2, "inconclusive": 1, "real": 1},
        "real": {"flux": 1, "real": 1},
    }


def test_what_is_set_aside_is_counted_by_itself():
    """Nothing of it enters a rate."""
    counts = of((FLUX, CORRECT, Word("incorrect")), (FLUX, Word("inconclusive")), (FLUX, Word("correct", "real")))
    assert counts.as_json() == {
        "outcomes": 3,
        "counted": 0,
        "disputed": 1,
        "contradictory": 1,
        "inconclusive": 1,
        "classes": [],
        "confusion": {},
    }


def test_an_image_of_a_generator_that_the_model_lacks_is_found_as_unknown():
    """Its name matters to nobody but the reviewer."""
    counts = of((UNKNOWN, Word("correct", "gpt-image-2")), (FLUX, Word("incorrect", "nano-banana")))
    assert counts.rows()[-1] == Row("unknown_generator", Rate.wilson(1, 1), Rate.wilson(1, 2))


@pytest.mark.parametrize(
    ("count", "of_them", "low", "high"),
    [(0, 0, 0, 1), (0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (8, 10, 0.4902, 0.9433), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(count, of_them, low, high):
    """The last is Newcombe's example (Statistics in Medicine 17, 1998, table I)."""
    rate = Rate.wilson(count, of_them)
    assert (round(rate.low, 4), round(rate.high, 4)) == (low, high)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_ends_of_the_interval_are_where_the_score_test_turns(case):
    """At either end the count is 1.96 standard deviations of that share away from what the share would give."""
    count, n = case
    rate = Rate.wilson(count, n)
    assert 0 <= rate.low <= count / n <= rate.high <= 1
    for end in (rate.low, rate.high):
        if 0 < end < 1:
            assert abs(count - n * end) / math.sqrt(n * end * (1 - end)) == pytest.approx(1.959964, rel=1e-5)


outcomes = st.tuples(
    st.sampled_from(STATED),
    st.builds(Word, st.sampled_from(["correct", "incorrect", "inconclusive"]), st.sampled_from([None, *CLASSES, "x"])),
)


@given(st.lists(outcomes, max_size=30), st.data())
def test_what_is_taken_out_leaves_no_trace(said, data):
    """Adding some and taking them out again is as if they had never been there."""
    judged = [(stated, judge(stated, [word])) for stated, word in said]
    kept = data.draw(st.integers(0, len(judged)))
    counts = tally(judged)
    for stated, one in judged[kept:]:
        counts.add(stated, one, -1)
    assert counts.as_json() == tally(judged[:kept]).as_json()
    assert all(rate.count <= rate.of for row in counts.rows() for rate in (row.precision, row.recall))


def test_the_documented_example_is_true():
    """The docstring's figures are the code's."""
    assert doctest.testmod(module).failed == 0
