"""What the reviewers of one outcome say together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.labels.judging import Judged, Stated, Word, judge

CLASSES = ("flux", "midjourney", "real")
FLUX = Stated("ai_generated", "flux", CLASSES)
REAL = Stated("real", "real", CLASSES)
UNKNOWN = Stated("ai_generated", "unknown_generator", CLASSES)
WITHHELD = Stated("inconclusive", None, CLASSES)


def counted(right, truth, is_ai):
    return Judged("counted", right, truth, is_ai)


@pytest.mark.parametrize(
    ("stated", "word", "judged"),
    [
        (FLUX, Word("correct"), counted(True, "flux", True)),
        (FLUX, Word("correct", "flux"), counted(True, "flux", True)),
        (FLUX, Word("incorrect", "midjourney"), counted(False, "midjourney", True)),
        (FLUX, Word("incorrect", "real"), counted(False, "real", False)),
        (FLUX, Word("incorrect", "gpt-image-2"), counted(False, "unknown_generator", True)),
        (FLUX, Word("incorrect"), counted(False, None, None)),
        (REAL, Word("correct"), counted(True, "real", False)),
        (REAL, Word("incorrect"), counted(False, None, True)),
        (UNKNOWN, Word("correct"), counted(True, "unknown_generator", True)),
        (UNKNOWN, Word("correct", "gpt-image-2"), counted(True, "unknown_generator", True)),
        (UNKNOWN, Word("incorrect", "flux"), counted(False, "flux", True)),
        (WITHHELD, Word("correct"), counted(None, None, None)),
        (WITHHELD, Word("incorrect", "flux"), counted(None, "flux", True)),
        (FLUX, Word("inconclusive", "real"), Judged("inconclusive")),
        (FLUX, Word("correct", "midjourney"), Judged("contradictory")),
        (FLUX, Word("incorrect", "flux"), Judged("contradictory")),
        (UNKNOWN, Word("incorrect", "gpt-image-2"), Judged("contradictory")),
    ],
)
def test_what_one_reviewer_says(stated, word, judged):
    """A truth is what was named, or what was confirmed; a rejected `real` is generated, a rejected generator may be anything."""
    assert judge(stated, [word]) == judged


@pytest.mark.parametrize(
    ("words", "judged"),
    [
        ([Word("correct"), Word("correct")], counted(True, "flux", True)),
        ([Word("correct"), Word("incorrect")], Judged("disputed")),
        ([Word("incorrect", "real"), Word("incorrect", "midjourney")], Judged("disputed")),
        ([Word("incorrect", "real"), Word("incorrect")], counted(False, "real", False)),
        ([Word("correct"), Word("inconclusive")], counted(True, "flux", True)),
        ([Word("correct"), Word("incorrect", "flux")], counted(True, "flux", True)),
        ([Word("inconclusive"), Word("incorrect", "flux")], Judged("contradictory")),
        ([], Judged("inconclusive")),
    ],
)
def test_what_several_reviewers_say(words, judged):
    """Who cannot tell disputes nothing, nor does who contradicts himself."""
    assert judge(FLUX, words) == judged


words = st.builds(
    Word, st.sampled_from(["correct", "incorrect", "inconclusive"]), st.sampled_from([None, *CLASSES, "gpt-image-2"])
)


@given(st.lists(words, max_size=5), st.sampled_from([FLUX, REAL, UNKNOWN, WITHHELD]), st.randoms())
def test_the_order_of_reviewers_says_nothing(said, stated, draw):
    """The same words in another order come to the same."""
    shuffled = said.copy()
    draw.shuffle(shuffled)
    assert judge(stated, shuffled) == judge(stated, said)
