"""A label and the outcome it is about."""

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.labels import NOON, label, labelled
from support.verdicts import CLASSES, verdict

from schemas.errors import (
    MessageInvalid,
    MessageNotJson,
    MessageRejected,
    MessageTooLarge,
    NotAnImage,
    SchemaVersionUnknown,
)
from schemas.incoming import Record
from schemas.label import Label, Labelled
from schemas.verdict import SourceRecord
from streams.labels.joining import headers_of, join, read_label
from streams.outcomes import Outcome, dead_letter_outcome, verdict_outcome

RECORD = Record("deeptrace.images.v1", 0, 1, b"k", b"{}", (), NOON)


def raw(**changes):
    body = json.loads(label().to_bytes()) | changes
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def test_a_label_is_read():
    """Fields that this release does not know are ignored."""
    assert read_label(raw(colour="red"), now=NOON) == label()


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, MessageNotJson),
        (b"", MessageNotJson),
        (b"{", MessageNotJson),
        (b"\xff", MessageNotJson),
        (b"[1]", MessageNotJson),
        (raw(reason="x" * 20_000), MessageTooLarge),
        (raw(schema="deeptrace.label/2"), SchemaVersionUnknown),
        (raw(schema=["deeptrace.label/1"]), SchemaVersionUnknown),
        (raw(label="maybe"), MessageInvalid),
        (raw(reviewer="anna@example.org"), MessageInvalid),
        (raw(reviewer=None), MessageInvalid),
        (raw(labelled_at="yesterday"), MessageInvalid),
        (raw(labelled_at="2026-11-25T12:00:00"), MessageInvalid),
        (raw(labelled_at="2099-01-01T00:00:00Z"), MessageInvalid),
        (raw(outcome_id="../models/champion"), MessageInvalid),
        (raw(outcome_id="A" * 40), MessageInvalid),
        (raw(tenant="a b"), MessageInvalid),
        (raw(true_source=""), MessageInvalid),
    ],
)
def test_what_is_no_label_is_refused(value, error):
    """With a code to count it by, and without repeating what it holds."""
    with pytest.raises(error) as caught:
        read_label(value, now=NOON)
    assert not any(part in str(caught.value) for part in ("maybe", "anna", "champion", "xxxx"))


def test_a_label_is_joined_to_what_the_verdict_said():
    """Byte for byte the same each time, with the same id."""
    outcome = verdict_outcome(verdict(), RECORD)
    joined = join(label(), outcome)
    assert joined == Labelled(
        label=label(),
        verdict="ai_generated",
        predicted_source="flux",
        confidence=0.9312,
        per_class_probs=verdict().per_class_probs,
        classes=CLASSES,
        model_version="m-1",
        calibration_id="c",
        event_time=NOON,
    )
    again = join(Label.from_bytes(label().to_bytes()), outcome)
    assert (again.to_bytes(), headers_of(again)) == (joined.to_bytes(), headers_of(joined))
    other = join(label(minute=1), outcome)
    assert dict(headers_of(other))["ce_id"] != dict(headers_of(joined))["ce_id"]


def test_the_mix_that_the_model_was_calibrated_for_goes_along():
    """The report holds the labels' own mix against it."""
    model = verdict().model.model_copy(update={"prior": (0.1, 0.1, 0.1, 0.1, 0.6)})
    joined = join(label(), verdict_outcome(verdict(model=model), RECORD))
    assert joined.prior == (0.1, 0.1, 0.1, 0.1, 0.6)


def test_the_event_time_is_the_verdicts_own_where_it_has_one():
    """Else that of the record which the reference came in."""
    source = SourceRecord(topic="t", partition=0, offset=0, event_time="2026-11-20T00:00:00Z", format="native")
    joined = join(label(), verdict_outcome(verdict(source=source), RECORD))
    assert joined.event_time.day == 20


@pytest.mark.parametrize("written", [b"2026-11-25T12:00:00", b"0001-01-01T00:00:00+05:00", b"soon", b"\xff"])
def test_an_event_time_that_is_none_is_not_taken(written):
    """Without a zone, before the year 1, or no time: the label's own stands in, and the join goes on."""
    outcome = verdict_outcome(verdict(), RECORD)
    headers = tuple((name, written if name == "ce_time" else value) for name, value in outcome.headers)
    assert join(label(), replace(outcome, headers=headers)).event_time == label().labelled_at


@pytest.mark.parametrize(
    ("changes", "mismatch"),
    [({"tenant": "zoo"}, "tenant_mismatch"), ({"image_id": "image-2"}, "image_mismatch")],
)
def test_a_label_for_another_tenant_or_image_is_not_joined(changes, mismatch):
    """Whoever may write labels must not learn or change what is said of others."""
    assert join(label(**changes), verdict_outcome(verdict(), RECORD)) == mismatch


def test_a_dead_letter_has_no_verdict_to_label():
    """Nor has an outcome that this release cannot read."""
    letter = dead_letter_outcome(f"{1:040x}", RECORD, NotAnImage("no"), stage="decode", attempts=1)
    assert join(label(), letter) == "dead_letter"
    newer = Outcome(f"{1:040x}", "deeptrace.verdicts.v1", b"k", b'{"schema": "deeptrace.verdict/9"}', ())
    assert join(label(), newer) == "outcome_unreadable"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(list(json.loads(raw()))), json_values, max_size=9).map(
        lambda changes: json.dumps(json.loads(raw()) | changes).encode()
    )
)
def test_whatever_is_sent_is_a_label_or_refused_by_a_code(value):
    """And a label can be written again, and joined."""
    with suppress(MessageRejected):
        one = read_label(value, now=NOON)
        assert read_label(one.to_bytes(), now=NOON).to_bytes() == one.to_bytes()
        headers_of(labelled(one))
        join(one, verdict_outcome(verdict(), RECORD))
