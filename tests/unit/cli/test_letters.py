"""Dead letters on a terminal: the newest, whole, and harmless."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas import topics
from schemas.dead_letter import CONNECT, DeadLetter
from schemas.incoming import Record
from streams.cli import dlq
from streams.cli.watch import describe
from streams.letters import Counts, Newest, Pick

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ESC = "\x1b[2J"


def letter(partition, offset, minute, *, headers=(), value=b"{}"):
    record = Record(
        topics.DEAD_LETTERS, partition, offset, b"key", value, tuple(headers), NOON + timedelta(minutes=minute)
    )
    return record, DeadLetter.read(record)


def newest(letters, limit):
    kept = Newest(limit)
    for record, found in letters:
        kept.add(record, found)
    return kept


def places(kept):
    return [(record.partition, record.offset) for record, _ in kept.letters]


def test_the_newest_are_listed_newest_last():
    """By the time of the records, not by partition: a partition that comes last is not newer."""
    letters = [letter(0, 0, 5), letter(0, 1, 9), letter(7, 0, 1), letter(7, 1, 6)]
    assert places(newest(letters, 2)) == [(7, 1), (0, 1)]
    assert places(newest(letters, 9)) == [(7, 0), (0, 0), (7, 1), (0, 1)]


def test_a_list_keeps_no_bodies():
    """300,000 letters of a quarter of a megabyte must not be held for a table of their codes."""
    kept = newest([letter(0, n, n, value=b"x" * 1000, headers=[("dt-error-code", b"c")]) for n in range(5)], 3)
    assert (kept.total, len(kept.letters)) == (5, 3)
    assert {(record.value, record.key, found.value, found.code) for record, found in kept.letters} == {
        (None, None, None, "c")
    }


@pytest.mark.parametrize(
    ("pick", "taken"),
    [
        (Pick(), True),
        (Pick(codes=["other", "code"]), True),
        (Pick(codes=["other"]), False),
        (Pick(since=NOON + timedelta(minutes=5)), True),
        (Pick(since=NOON + timedelta(minutes=6)), False),
        (Pick(place=(1, 2)), True),
        (Pick(place=(1, 3)), False),
        (Pick(codes=["code"], since=NOON, place=(2, 2)), False),
    ],
)
def test_letters_are_picked_by_code_time_and_place(pick, taken):
    """All conditions that are given must hold."""
    assert pick.takes(*letter(1, 2, 5, headers=[("dt-error-code", b"code")])) is taken


@pytest.mark.parametrize("as_json", [True, False])
def test_what_is_left_out_is_said_beside_the_result(capsys, as_json):
    """On standard error, so that JSON stays JSON."""
    dlq.show_newest(newest([letter(0, 0, 5), letter(0, 1, 9), letter(7, 0, 1), letter(7, 1, 6)], 3), as_json=as_json)
    captured = capsys.readouterr()
    assert "7:0" not in captured.out
    assert captured.out.index("0:0") < captured.out.index("7:1") < captured.out.index("0:1")
    assert captured.err == "1 older dead letters left out; see --limit\n"


@pytest.mark.parametrize("as_json", [True, False])
def test_letters_are_counted_by_code(capsys, as_json):
    """The most frequent first, with the times of the first and the last, in whatever order they are read."""
    counts = Counts()
    for minute, code in ((5, b"often"), (1, b"often"), (3, b"seldom"), (9, b"often")):
        counts.add(*letter(0, minute, minute, headers=[("dt-error-code", code)]))
    dlq.show_counts(counts, as_json=as_json)
    shown = capsys.readouterr().out
    assert shown.index("often") < shown.index("seldom")
    assert shown.index("2026-11-22T12:01:00.000Z") < shown.index("2026-11-22T12:09:00.000Z") < shown.index("seldom")
    assert ('"count":3' if as_json else " 3 ") in shown


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
    dlq.show_letter(HOSTILE[0], as_json=False)
    dlq.out.print(dlq.letter_table([HOSTILE]), markup=False)
    written = capsys.readouterr().out + describe(HOSTILE[0])
    assert "\x1b" not in written
    assert r"value\x1b[2J" in written
    assert "line one\nline two\\x1b[2J" in written


@pytest.mark.parametrize(("as_json", "said"), [(True, '["empty",null]'), (False, "empty: (null)")])
def test_a_header_without_a_value_is_shown_as_such(capsys, as_json, said):
    """Kafka allows a null value."""
    dlq.show_letter(HOSTILE[0], as_json=as_json)
    assert said in capsys.readouterr().out
