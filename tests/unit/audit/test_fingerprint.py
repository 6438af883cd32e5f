"""Two records are taken for equal only when topic, key, value and headers are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.incoming import Record
from streams.audit.fingerprint import fingerprint, raw_id

part = st.none() | st.binary(max_size=2)
records = st.builds(
    Record,
    topic=st.text(max_size=2),
    partition=st.integers(0, 3),
    offset=st.integers(0, 9),
    key=part,
    value=part,
    headers=st.lists(st.tuples(st.text(max_size=2), part), max_size=3).map(tuple),
)


def said(record):
    return record.topic, record.key, record.value, record.headers


@given(records, records)
def test_equal_fingerprints_are_equal_records(first, second):
    """Property: wherever they lie; parts moved from one field to the next differ."""
    assert (fingerprint(first) == fingerprint(second)) == (said(first) == said(second))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"key": None}, {"key": b""}),
        ({"value": None}, {"value": b""}),
        ({"headers": (("a", None),)}, {"headers": (("a", b""),)}),
        ({"headers": (("a", b"b"),)}, {"headers": (("ab", b""),)}),
        ({"headers": (("a", b""), ("b", b""))}, {"headers": (("b", b""), ("a", b""))}),
        ({"key": b"ab", "value": b""}, {"key": b"a", "value": b"b"}),
    ],
)
def test_what_is_easily_taken_for_the_same_differs(one, other):
    """Null and empty, an order, a border between two fields."""
    records = [
        Record(**{"topic": "t", "partition": 0, "offset": 0, "key": b"", "value": b"", **said}) for said in (one, other)
    ]
    assert fingerprint(records[0]) != fingerprint(records[1])


@pytest.mark.parametrize(
    "text", [None, "", "0" * 39, "0" * 41, "A" * 40, "g" * 40, " " + "0" * 40, b"\xff" * 40, "0 " * 20]
)
def test_what_is_no_outcome_id_has_no_bytes(text):
    """Forty hex digits in lower case, nothing else."""
    assert raw_id(text) is None


def test_an_outcome_id_is_twenty_bytes():
    """As text or as a header's value."""
    assert raw_id("0f" * 20) == raw_id(b"0f" * 20) == b"\x0f" * 20
