"""One line for each record that `deeptrace watch` shows."""

from datetime import UTC, datetime

import orjson

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


def drift_record(topic: str, **fields) -> Record:
    """A record of the drift worker's topics, with what all of them have."""
    shared = {
        "window_id": "w",
        "tenant": "*",
        "window": "1h",
        "start": "2026-11-24T12:00:00Z",
        "end": "2026-11-24T13:00:00Z",
    }
    return Record(topic, 0, 7, None, orjson.dumps(shared | {"images": 40} | fields))


def test_a_window_says_whose_it_is_and_which_kind():
    """Windows over all tenants stand beside those of each."""
    window = drift_record("deeptrace.windows.v1", counts={"flux": 40}, probability_sums={}, verdicts={})
    assert describe(window) == "window       all tenants  1h  12:00:00  40 images  {'flux': 40}"


def test_alerts_say_what_began_what_is_over_and_what_changes_slowly():
    """Each kind of alert on the topic has its words, and so has a candidate for a new generator."""
    topic = "deeptrace.drift-alerts.v1"
    alert = {"alert_id": "a", "value": 0.5, "threshold": 0.25, "shares": {}, "reference": {}}
    raised = drift_record(topic, **alert, most_grown="flux", most_shrunk="real")
    assert describe(raised) == "drift alert  all tenants  12:00:00  KL 0.500 > 0.25  more flux, less real"
    assert (
        describe(drift_record(topic, **alert, state="resolved")) == "drift alert  all tenants  12:00:00  over  KL 0.500"
    )
    slow = drift_record(topic, **alert, statistic="page_hinkley_confidence")
    assert describe(slow) == "drift alert  all tenants  12:00:00  slow drift of the confidence  0.500 > 0.25"
    candidate = {
        "schema": "deeptrace.generator-candidate/1",
        "candidate_id": "c",
        "rejected": 50,
        "cohesion": 0.9,
        "model_version": "m",
    }
    assert (
        describe(drift_record(topic, **candidate))
        == "candidate    all tenants  1h  12:00:00  40 novel images alike, nearest -"
    )
