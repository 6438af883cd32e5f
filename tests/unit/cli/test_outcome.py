"""A settled outcome on a terminal, and as it lay on its topic."""

import orjson
import pytest
from support.planted import MOMENT, id_of, letter_of, reference, settled, verdict_of

from schemas.errors import CheckFailed, UsageError
from schemas.verdict import Verdict
from streams.cli.outcome import as_on_topic, described, outcome, read_settled

A = id_of("a")
SOURCE = reference("a", 3, 14)
VERDICT = settled(verdict_of(SOURCE, "a"), A)
LETTER = settled(letter_of(SOURCE, A), A)


def test_a_verdict_is_described():
    """Kind, verdict, source, confidence, where it came from, when it was stored."""
    assert described(read_settled(VERDICT, A), MOMENT) == [
        ("outcome", A),
        ("kind", "verdict"),
        ("image", "a of default"),
        ("verdict", "ai_generated"),
        ("source", "flux"),
        ("confidence", "90.0%"),
        ("model", "1 (none)"),
        ("status", "ok"),
        ("from", "deeptrace.images.v1/3/14"),
        ("stored at", "2026-11-18T11:06:40.000Z"),
    ]


def test_a_dead_letter_is_described():
    """Its code, what was tried, and where it came from."""
    assert described(read_settled(LETTER, A), None) == [
        ("outcome", A),
        ("kind", "dead letter"),
        ("code", "object_not_found"),
        ("stage", "fetch"),
        ("tries", "4"),
        ("message", "gone"),
        ("from", "deeptrace.images.v1/3/14"),
        ("stored at", "unknown"),
    ]


def test_a_verdict_is_given_back_as_it_lay_on_the_topic():
    """The very JSON that was published."""
    published = verdict_of(SOURCE, "a").value
    assert orjson.dumps(as_on_topic(read_settled(VERDICT, A)), option=orjson.OPT_SORT_KEYS) == published
    assert Verdict.from_bytes(published).outcome_id == A


def test_a_dead_letter_is_given_back_with_headers_and_value():
    """As `dlq show --json` shows it, without a place on the topic."""
    shown = as_on_topic(read_settled(LETTER, A))
    assert (shown["code"], shown["outcome_id"], shown["offset"]) == ("object_not_found", A, 14)
    assert orjson.loads(shown["value"])["event_id"] == "a"
    assert ("dt-error-code", "object_not_found") in shown["headers"]
    assert "letter" not in shown


@pytest.mark.parametrize(
    "data",
    [
        b"",
        settled(verdict_of(SOURCE, "a"), id_of("b")),
        VERDICT.replace(b'\\"verdict\\":\\"ai_generated\\"', b'\\"verdict\\":\\"maybe\\"'),
        settled(verdict_of(SOURCE, "b"), A),
    ],
    ids=["empty", "of another id", "no verdict", "a verdict of another id"],
)
def test_an_outcome_that_somebody_changed_is_refused(data):
    """Exit 3, and `--raw` still shows it."""
    with pytest.raises(CheckFailed, match="cannot be read") as failed:
        read_settled(data, A)
    assert "--raw" in failed.value.remedy


@pytest.mark.parametrize("identity", ["", "abc", A[:39], A + "0", A.upper(), "g" * 40, "../" + A[3:]])
def test_what_is_no_outcome_id_is_a_usage_error(identity):
    """Before the store is asked."""
    with pytest.raises(UsageError, match="not an outcome id"):
        outcome(identity)
