"""Dead letters on a terminal: the newest, whole, and harmless."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas import topics
from schemas.dead_letter import CONNECT, DeadLetter
from schemas.incoming import Record
from streams.cli import dlq
from streams.cli.watch import describe

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ESC = "\x1b[2J"


def letter(partition, offset, minute, *, headers=(), value=b"{}"):
    record = Record(
        topics.DEAD_LETTERS, partition, offset, b"key", value, tuple(headers), NOON + timedelta(minutes=minute)
    )
    return record, DeadLetter.read(record)


def places(letters):
    return [(record.partition, record.offset) for record, _ in letters]


def test_the_newest_are_listed_newest_last():
    """By the time of the records, not by partition: a partition that comes last is not newer."""
    letters = [letter(0, 0, 5), letter(0, 1, 9), letter(7, 0, 1), letter(7, 1, 6)]
    assert places(dlq.newest(letters, 2)) == [(7, 1), (0, 1)]
    assert places(dlq.newest(letters, 9)) == [(7, 0), (0, 0), (7, 1), (0, 1)]


@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_left_out_is_said_beside_the_result(capsys, as_json):
    """On standard error, so that JSON stays JSON."""
    dlq._show_newest([letter(0, 0, 5), letter(0, 1, 9), letter(7, 0, 1), letter(7, 1, 6)], 3, as_json=as_json)
    captured = capsys.readouterr()
    assert "7:0" not in captured.out
    assert captured.out.index("0:0") < captured.out.index("7:1") < captured.out.index("0:1")
    assert captured.err == "1 older dead letters left out; see --limit\n"


HOSTILE = letter(
    0,
    0,
    0,
    headers=[
        ("dt-error-code", f"code{ESC}".encode()),
        (f"{CONNECT}exception.message", f"message{ESC}".encode()),
        (f"{CONNECT}topic", f"topic{ESC}".encode()),
        (f"name{ESC}", f"value{ESC}".encode()),
        ("empty", None),
    ],
    value=f"line one\nline two{ESC}".encode(),
)


def test_a_hostile_letter_does_not_steer_the_terminal(capsys):
    """Neither shown, nor listed, nor watched."""
    dlq._show(*HOSTILE, as_json=False)
    dlq.out.print(dlq._table([HOSTILE]), markup=False)
    written = capsys.readouterr().out + describe(HOSTILE[0])
    assert "\x1b" not in written
    assert r"value\x1b[2J" in written
    assert "line one\nline two\\x1b[2J" in written


@pytest.mark.parametrize(("as_json", "said"), [(True, '["empty",null]'), (False, "empty: (null)")])
def test_a_header_without_a_value_is_shown_as_such(capsys, as_json, said):
    """Kafka allows a null value."""
    dlq._show(*HOSTILE, as_json=as_json)
    assert said in capsys.readouterr().out
