"""Settled outcomes: any record survives its way into the store and back, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MessageInvalid
from schemas.settled import MAX_BYTES, SettledOutcome, object_key

ID = "0" * 40
raw = st.none() | st.binary(max_size=40) | st.text(max_size=20).map(str.encode)
records = st.builds(
    SettledOutcome,
    outcome_id=st.just(ID),
    kind=st.sampled_from(["verdict", "dead_letter"]),
    topic=st.text(min_size=1, max_size=10),
    key=raw,
    value=raw,
    headers=st.lists(st.tuples(st.text(max_size=6), raw), max_size=4).map(tuple),
)


@given(records)
def test_an_outcome_survives_its_bytes(outcome):
    """Property: key, value and headers come back as they were, null and empty told apart, repeats and order kept."""
    again = SettledOutcome.from_bytes(outcome.to_bytes())
    assert again == outcome
    assert (again.key, again.value, again.headers) == (outcome.key, outcome.value, outcome.headers)
    assert again.to_bytes() == outcome.to_bytes()


@given(records, records)
def test_two_outcomes_have_equal_bytes_only_if_they_are_equal(first, second):
    """Property: what an audit compares by the hash of the stored bytes is the whole record."""
    assert (first.to_bytes() == second.to_bytes()) == (first == second)


def outcome(**fields):
    return SettledOutcome(**{"outcome_id": ID, "kind": "verdict", "topic": "t", "key": b"k", "value": b"v", **fields})


def test_what_is_text_is_stored_as_text_and_what_is_not_as_base64():
    """The archive is read by people and by other languages."""
    body = json.loads(
        outcome(value=b'{"verdict":"real"}', headers=(("ce_id", b"x"), ("odd", b"\xff"), ("null", None))).to_bytes()
    )
    assert body == {
        "schema": "deeptrace.outcome/1",
        "outcome_id": ID,
        "kind": "verdict",
        "topic": "t",
        "key": "k",
        "value": '{"verdict":"real"}',
        "headers": [["ce_id", "x"], ["odd", {"base64": "/w=="}], ["null", None]],
    }
    assert list(body) == sorted(body)


def test_text_that_looks_like_base64_stays_text():
    """A producer may write what we write for bytes."""
    value = b'{"base64": "/w=="}'
    assert SettledOutcome.from_bytes(outcome(value=value).to_bytes()).value == value


@pytest.mark.parametrize("value", [{"base64": "%%%"}, {"base64": 1}, {"other": "x"}, 5, ["x"], True])
def test_what_is_no_bytes_is_refused(value):
    """Neither text nor base64: an error of ours that names the field."""
    body = json.loads(outcome().to_bytes()) | {"value": value}
    with pytest.raises(MessageInvalid, match="value"):
        SettledOutcome.from_bytes(json.dumps(body).encode())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"schema":"deeptrace.outcome/2"}'])
def test_what_is_no_outcome_is_refused(data):
    """Empty, truncated, or of a version that this release does not read."""
    with pytest.raises(MessageInvalid):
        SettledOutcome.from_bytes(data)


def test_the_largest_dead_letter_fits():
    """256 KiB of bytes that JSON spells worst: control characters, six for one."""
    assert len(outcome(value=b"\xff" * (256 * 1024)).to_bytes()) <= MAX_BYTES
    assert object_key(ID) == f"outcomes/{ID}.json"
