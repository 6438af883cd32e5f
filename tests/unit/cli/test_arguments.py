"""Places and moments as people write them."""

from datetime import UTC, datetime

import pytest

from schemas.errors import UsageError
from streams.cli.arguments import parse_place, parse_since

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", datetime(2026, 11, 22, 11, 58, 30, tzinfo=UTC)),
        ("30m", datetime(2026, 11, 22, 11, 30, tzinfo=UTC)),
        ("2h", datetime(2026, 11, 22, 10, 0, tzinfo=UTC)),
        ("3d", datetime(2026, 11, 19, 12, 0, tzinfo=UTC)),
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, 0, tzinfo=UTC)),
        ("2026-11-22T10:00:00.5+02:00", datetime(2026, 11, 22, 8, 0, 0, 500000, tzinfo=UTC)),
    ],
)
def test_a_moment_is_how_long_ago_or_rfc_3339(text, moment):
    """In UTC, whatever the offset."""
    assert parse_since(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2", "2w", "-2h", "2026-11-22T10:00:00", "999999999d", "10:00"])
def test_what_names_no_moment_is_a_usage_error(text):
    """Also a time without an offset: whose clock would it be?"""
    with pytest.raises(UsageError, match="not a moment"):
        parse_since(text, NOW)


def test_a_place_is_partition_and_offset():
    """As `dlq list` and `audit` print it."""
    assert parse_place("3:1200") == (3, 1200)


@pytest.mark.parametrize("text", ["", "3", "3:", ":3", "-1:2", "a:b", "1:2:3", "1: 2", "\u0661:\u0662"])
def test_what_names_no_place_is_a_usage_error(text):
    """Nothing is guessed."""
    with pytest.raises(UsageError, match="not a place"):
        parse_place(text)
