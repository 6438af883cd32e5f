"""What a person reads of a verdict in every command."""

from datetime import UTC, datetime

import pytest
from support.verdicts import verdict

from schemas import topics
from schemas.incoming import Record
from schemas.verdict import LabelSet
from streams.cli.watch import describe
from streams.verdict_words import confidence, one_of, why

WITHHELD = verdict(
    verdict="inconclusive",
    predicted_source=None,
    is_ai_generated=None,
    reasons=("weak_evidence", "novel"),
    label_set=LabelSet(coverage=0.9, labels=("flux", "real")),
)


def test_a_verdict_that_says_nothing_says_why_and_what_it_may_be():
    """In plain words, the set with the share in which it holds the truth."""
    assert (why(WITHHELD), one_of(WITHHELD), confidence(WITHHELD)) == (
        "weak evidence, novel",
        "flux, real (90%)",
        "93.1%",
    )


def test_what_is_not_known_is_left_empty():
    """No reason, no label set, no confidence."""
    plain = verdict(confidence=None)
    assert (why(plain), one_of(plain), confidence(plain)) == ("", "", "")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (verdict(), "verdict      acme  image-1  ai_generated  flux  93.1%  4 ms"),
        (
            verdict(predicted_source="unknown_generator"),
            "verdict      acme  image-1  ai_generated  unknown_generator  93.1%  4 ms",
        ),
        (
            WITHHELD,
            "verdict      acme  image-1  inconclusive  -  93.1%  why: weak evidence, novel  one of: flux, real (90%)  4 ms",
        ),
    ],
)
def test_watch_shows_it_in_a_line(given, line):
    """One verdict, one line."""
    record = Record(topics.VERDICTS, 0, 1, None, given.to_bytes(), timestamp=datetime(2026, 11, 22, tzinfo=UTC))
    assert describe(record) == line
