"""The output's side: the records of the verdict and dead letter topics, each held against the book and against itself."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from schemas import topics
from schemas.dead_letter import OUTCOME_ID, DeadLetter
from schemas.errors import MessageInvalid
from schemas.incoming import Record
from schemas.settled import Kind
from schemas.verdict import Verdict
from streams.audit.book import ACCEPTABLE, ALTERED, ASKED, LETTER, VERDICT, Book, pack
from streams.audit.fingerprint import fingerprint, raw_id, stored_md5
from streams.audit.report import Report

CE_ID = "ce_id"


@dataclass(frozen=True, slots=True)
class Said:
    """What an outcome says of itself: its id inside, and the record it came from."""

    outcome_id: str
    topic: str
    partition: int
    offset: int
    code: str = ""


class Outcomes:
    """Enters what was published. `spans` are the audited offsets of the images topic, `whole` whether that is all there ever was."""

    def __init__(self, book: Book, report: Report, spans: Mapping[int, tuple[int, int]], *, whole: bool) -> None:
        self._book = book
        self._report = report
        self._spans = spans
        self._whole = whole

    def take(self, record: Record) -> None:
        """Note a record of an outcome topic and whatever is wrong with it. One of a reference outside the audited range is none of ours."""
        kind: Kind = "verdict" if record.topic == topics.VERDICTS else "dead_letter"
        text = _header(record, CE_ID if kind == "verdict" else OUTCOME_ID)
        raw = raw_id(text)
        if raw is None:
            if self._whole:
                self._report.fault("unreadable", "", at(record))
            return
        row = self._book.find(raw)
        if row is None:
            if not self._whole and not self._claims_our_range(record, kind):
                return
            row = self._book.open(raw)
            self._report.fault("nobody_asked", raw.hex(), at(record))
        self._note(record, kind, raw.hex(), row)

    def _note(self, record: Record, kind: Kind, outcome_id: str, row: int) -> None:
        before = self._book.flags(row)
        seen = self._book.publish(row, VERDICT if kind == "verdict" else LETTER, fingerprint(record))
        if seen == "first" and self._report.mode == "settled":
            self._book.expect_md5(row, stored_md5(record, outcome_id, kind))
        if seen in {"repeat", "altered"}:
            self._report.repeats += 1
        if seen == "altered" and not before & ALTERED:
            self._report.fault("repeats_not_identical", outcome_id, at(record))
        if seen == "other_kind":
            self._report.fault("both", outcome_id, at(record))
        if seen != "repeat" and before & ASKED:
            self._examine(record, kind, outcome_id, row, counts=seen != "altered")

    def _examine(self, record: Record, kind: Kind, outcome_id: str, row: int, *, counts: bool) -> None:
        said = read_verdict(record) if kind == "verdict" else read_letter(record)
        if said is None or said.outcome_id != outcome_id:
            self._report.fault("unreadable", outcome_id, at(record))
        elif not self._is_source(row, said):
            self._report.fault("wrong_source", outcome_id, at(record))
        if kind == "verdict" and not self._book.flags(row) & ACCEPTABLE:
            self._report.fault("refused_but_judged", outcome_id, at(record))
        if not counts:
            return
        if kind == "verdict":
            self._report.verdicts += 1
        else:
            self._report.dead_letters += 1
            self._report.dead_letters_by_code[said.code if said else ""] += 1

    def _is_source(self, row: int, said: Said) -> bool:
        """Whether the record that an outcome came from asks for it; a place outside the audited range may (a duplicate lies there)."""
        if said.topic != topics.IMAGES:
            return False
        if not self._in_range(said.partition, said.offset):
            return not self._whole
        return self._book.asks(row, pack(said.partition, said.offset))

    def _claims_our_range(self, record: Record, kind: Kind) -> bool:
        """Whether an outcome that nobody in the range asks for says that it came from there."""
        said = _glance(record) if kind == "verdict" else read_letter(record)
        return said is not None and said.topic == topics.IMAGES and self._in_range(said.partition, said.offset)

    def _in_range(self, partition: int, offset: int) -> bool:
        start, end = self._spans.get(partition, (0, 0))
        return start <= offset < end


def at(record: Record) -> str:
    """Return where a record lies."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def read_verdict(record: Record) -> Said | None:
    """Return what a verdict says, or None where the value is none."""
    try:
        verdict = Verdict.from_bytes(record.value or b"")
    except MessageInvalid:
        return None
    source = verdict.source
    return Said(verdict.outcome_id, source.topic, source.partition, source.offset)


def read_letter(record: Record) -> Said | None:
    """Return what a dead letter says, or None where it has no error code or does not say where it came from."""
    letter = DeadLetter.read(record)
    if not letter.code or not letter.topic:
        return None
    return Said(letter.outcome_id, letter.topic, letter.partition, letter.offset, letter.code)


def _glance(record: Record) -> Said | None:
    """Return where a verdict says it came from, without checking the rest."""
    try:
        source = orjson.loads(record.value or b"")["source"]
        return Said("", str(source["topic"]), int(source["partition"]), int(source["offset"]))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


def _header(record: Record, name: str) -> bytes | None:
    """Return the last header of a name, which is what a reader that makes a table of them sees."""
    return next((value for title, value in reversed(record.headers) if title == name), None)
