"""Records on retry topics: the original comes back as it was first delivered, whatever it held."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.incoming import Record
from schemas.retry import OURS, Retry, retry_headers

ID = "a" * 40
MOMENT = datetime(2026, 11, 22, 10, 0, 0, 123000, UTC)
moments = st.datetimes(
    timezones=st.just(UTC),
    min_value=datetime(1971, 1, 1),  # noqa: DTZ001
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
names = st.text(max_size=6).filter(lambda name: name not in OURS)


def on_topic(original, headers):
    """Return the record as it is read off the retry topic."""
    return replace(original, topic="retry", partition=7, offset=99, headers=headers, timestamp=datetime.now(UTC))


@given(
    original=st.builds(
        Record,
        topic=st.text(max_size=10),
        partition=st.integers(0, 2**31 - 1),
        offset=st.integers(0, 2**63 - 1),
        key=st.none() | st.binary(max_size=8),
        value=st.none() | st.binary(max_size=40),
        headers=st.lists(st.tuples(names, st.none() | st.binary(max_size=6)), max_size=4).map(tuple),
        timestamp=moments,
    ),
    not_before=moments,
    first_seen=moments,
    attempts=st.integers(0, 10**9),
)
def test_a_retry_gives_back_the_original(original, not_before, first_seen, attempts):
    """Property: place, time, key, value and headers, and what the retry says of itself, to the millisecond."""
    headers = retry_headers(
        original,
        outcome_id=ID,
        not_before=not_before,
        attempts=attempts,
        first_seen=first_seen,
        code="object_not_found",
    )
    assert Retry.read(on_topic(original, headers)) == Retry(original, ID, not_before, attempts, first_seen)


def headers_of(original):
    return retry_headers(
        original, outcome_id=ID, not_before=MOMENT, attempts=4, first_seen=MOMENT, code="object_not_found"
    )


def test_a_second_round_keeps_the_first_origin():
    """The original that came off one retry topic goes to the next with the place it had on the images topic."""
    original = Record("images", 2, 9, b"k", b"v", (("a", b"1"),), MOMENT)
    first = Retry.read(on_topic(original, headers_of(original)))
    second = Retry.read(on_topic(first.original, headers_of(first.original)))
    assert second.original == original


def test_a_producer_cannot_speak_for_us():
    """Headers under our names that came with the original are left out: they would say where it is from and when it is due."""
    liar = Record(
        "images", 2, 9, b"k", b"v", (("dt-not-before", b"0"), ("dt-origin-offset", b"5"), ("a", b"1")), MOMENT
    )
    retry = Retry.read(on_topic(liar, headers_of(liar)))
    assert (retry.original.offset, retry.not_before, retry.original.headers) == (9, MOMENT, (("a", b"1"),))


NUMBERS = (
    "dt-not-before",
    "dt-attempts",
    "dt-first-seen",
    *(f"dt-origin-{part}" for part in ("partition", "offset", "timestamp")),
)
MOMENTS = ("dt-not-before", "dt-first-seen")


def read_with(name, value):
    """Read a retry with one header replaced, or left out (None)."""
    original = Record("images", 2, 9, b"k", b"v", (), MOMENT)
    headers = [(n, value if n == name else v) for n, v in headers_of(original) if n != name or value is not None]
    return Retry.read(on_topic(original, tuple(headers)))


@pytest.mark.parametrize("name", sorted(OURS - {"dt-retry-code"}))
def test_a_record_that_lacks_a_header_is_no_retry(name):
    """Somebody else wrote to the topic: None, never an exception."""
    assert read_with(name, None) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in NUMBERS for value in (b"", b"x", b"1.5", b"\xff")),
        *((name, b"9" * 40) for name in MOMENTS),
        ("dt-outcome-id", b"\xff"),
        ("dt-origin-topic", b"\xff"),
    ],
)
def test_a_record_with_a_faulty_header_is_no_retry(name, value):
    """No number, no moment that a calendar has, no text."""
    assert read_with(name, value) is None


def test_without_headers_it_is_none():
    """Nothing of ours on it."""
    assert Retry.read(Record("retry", 0, 0, b"k", b"v", (("a", b"1"),), MOMENT + timedelta(days=1))) is None
