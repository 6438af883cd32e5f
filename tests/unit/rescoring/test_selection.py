"""Which verdicts of the past are judged again."""

from datetime import timedelta

import pytest
from support.rescoring import DAY, old_verdict

from schemas.verdict import SourceRecord
from streams.rescoring.selection import Selection


def moment(seconds):
    return DAY + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("conditions", "taken"),
    [
        ({}, True),
        ({"since": moment(5)}, True),
        ({"since": moment(6)}, False),
        ({"until": moment(6)}, True),
        ({"until": moment(5)}, False),
        ({"model": "m-1"}, True),
        ({"model": "m-2"}, False),
        ({"prefix": "a/5"}, True),
        ({"prefix": "b/"}, False),
        ({"bucket": "deeptrace-images"}, True),
        ({"bucket": "other"}, False),
        ({"tenant": "acme"}, True),
        ({"tenant": "other"}, False),
        ({"tenant": "acme", "model": "m-2"}, False),
    ],
)
def test_all_conditions_must_hold(conditions, taken):
    """The range holds its beginning and not its end; the verdict is of second 5."""
    assert Selection(**conditions).takes(old_verdict(5), written_at=moment(999)) is taken


def test_without_an_event_time_it_is_when_the_verdict_was_written():
    """As windows count it."""
    source = SourceRecord(topic="t", partition=0, offset=0, format="native")
    old = old_verdict(5, source=source)
    chosen = Selection(since=moment(10), until=moment(20))
    assert chosen.takes(old, written_at=moment(15))
    assert not chosen.takes(old, written_at=moment(5))


def test_no_condition_is_everything_and_says_so():
    """It must be asked for by name."""
    assert (Selection().takes_all, Selection().options()) == (True, "--all")
    chosen = Selection(since=moment(0), prefix="a/")
    assert (chosen.takes_all, chosen.options()) == (False, "--from 2026-11-20T00:00:00.000Z --prefix a/")


def test_it_is_the_same_after_it_was_kept():
    """Down to the millisecond that is written."""
    chosen = Selection(since=moment(1.5), model="m-1")
    assert Selection.from_bytes(chosen.to_bytes()) == chosen
