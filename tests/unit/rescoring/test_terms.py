"""What is agreed at the first run of a replay, and what lies beside its offsets."""

from datetime import timedelta

import pytest
from support.rescoring import DAY

from schemas.errors import CheckFailed, UsageError
from streams.rescoring.selection import Selection
from streams.rescoring.terms import (
    MAX_MARK_BYTES,
    Judge,
    Mark,
    Terms,
    checked_name,
    read_mark,
    require_room,
    require_same,
)

JUDGE = Judge(version="1.0", sha256="a" * 64)


def terms(judge=JUDGE, from_text=None, **conditions):
    return Terms(selection=Selection(**conditions), judge=judge, started=DAY, from_text=from_text)


@pytest.mark.parametrize("name", ["a", "flux-2.backfill_3", "0" * 64])
def test_a_name_may_be_part_of_a_group_and_of_a_key(name):
    """Lower-case letters, digits, dots, hyphens, underscores."""
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", "-a", "ä", "a" * 65, "a\n"])
def test_other_names_are_refused(name):
    """Before anything is asked of the broker."""
    with pytest.raises(UsageError):
        checked_name(name)


def test_a_mark_is_the_same_after_it_was_committed():
    """Terms, counts and who wrote it."""
    agreed = terms(prefix='ä/"quoted"', from_text="2h", since=DAY)
    counted = {"replayed": 2, "failed": {"object_not_found": 1}}
    mark = Mark(terms=agreed, begin=3, end=9, run="r", beat=4, is_open=True, **counted)
    assert read_mark("g", mark.metadata()) == mark


@pytest.mark.parametrize("metadata", ["", "{}", "faust", '{"schema":"deeptrace.replay-mark/2"}'])
def test_what_somebody_else_has_committed_is_not_gone_on_with(metadata):
    """A group that is in use otherwise is left alone."""
    with pytest.raises(CheckFailed, match="group g has committed"):
        read_mark("g", metadata)


def test_the_longest_key_prefix_fits_beside_an_offset_and_a_longer_one_is_refused():
    """A broker keeps 4 KiB, and the counts take some."""
    fits = Mark(terms=terms(prefix="ü" * 512), begin=0, end=1)
    require_room(fits)
    full = fits.model_copy(update={"failed": {f"error_code_of_some_length_{n}": 10**9 for n in range(30)}})
    assert len(full.to_bytes()) <= MAX_MARK_BYTES
    with pytest.raises(UsageError, match="too long"):
        require_room(Mark(terms=terms(prefix="x" * 3000), begin=0, end=1))


def test_a_range_that_is_typed_alike_is_the_same_range():
    """`2h` means what it meant at the first run; a moment spelt otherwise is the same moment."""
    first = terms(from_text="2h", since=DAY)
    require_same("n", first, terms(from_text="2h", since=DAY + timedelta(minutes=5)))
    require_same("n", first, terms(from_text="2026-11-20T00:00:00Z", since=DAY))


def test_other_terms_are_refused_and_said():
    """With what was agreed, ready to be typed."""
    other = Judge(version="1.1", sha256="b" * 64, min_confidence=0.7)
    with pytest.raises(UsageError) as caught:
        require_same("n", terms(prefix="a/"), terms(other, model="m-1", from_text="3h", since=DAY))
    assert caught.value.why == (
        "no --from, now 3h; no --model, now m-1; --prefix a/, now none; "
        "the model that judges 1.0 (aaaaaaaaaaaa), now 1.1 (bbbbbbbbbbbb); no min_confidence, now 0.7"
    )
    assert "deeptrace replay n --prefix a/" in caught.value.remedy
