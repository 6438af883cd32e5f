"""One line for each record that `deeptrace watch` shows."""

from datetime import UTC, datetime

from schemas.incoming import Record
from schemas.narrative import Narrative, Narrator
from streams.cli.watch import describe


def record(value: bytes) -> Record:
    return Record("deeptrace.explanations.v1", 0, 7, None, value)


def test_an_explanation_is_shown_in_words_that_cannot_steer_the_terminal():
    """Whoever may write to the topic may write anything; it is escaped."""
    narrative = Narrative(
        outcome_id="0" * 40,
        image_id="image-1",
        tenant="acme",
        verdict="inconclusive",
        summary="Not decided\x1b[2J.",
        evidence=("probability",),
        caution="weak_evidence",
        selected_for=("inconclusive",),
        model_version="m-1",
        narrator=Narrator(model="m", instructions="narrate-1", input_tokens=1, output_tokens=1),
        written_at=datetime(2026, 11, 24, tzinfo=UTC),
    )
    assert describe(record(narrative.to_bytes())) == (
        "in words     acme  image-1  Not decided\\x1b[2J.  (caution: weak_evidence)"
    )


def test_an_explanation_that_is_none_is_said_to_be_unreadable():
    """With its place, without its content."""
    assert describe(record(b"<script>")).startswith("unreadable   deeptrace.explanations.v1/0/7  ")
