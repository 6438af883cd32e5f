"""Holds what is stored against what was published."""

from collections.abc import Iterator

from schemas import topics
from schemas.errors import MessageInvalid
from schemas.incoming import Record
from schemas.settled import SettledOutcome, object_key
from streams.audit.archive import Archive
from streams.audit.book import ASKED, DIFFERS, PUBLISHED, STORED, Book
from streams.audit.fingerprint import fingerprint
from streams.audit.progress import Progress
from streams.audit.report import Report


class Settled:
    """Enters what is stored. In a listing the store's MD5 is believed where it is the one that these very bytes have (`deep`: never)."""

    def __init__(self, book: Book, report: Report, archive: Archive, progress: Progress, *, deep: bool) -> None:
        self._book = book
        self._report = report
        self._archive = archive
        self._progress = progress
        self._deep = deep

    def compare_all(self) -> set[bytes]:
        """Read all that is stored; return the ids that the book does not know."""
        unknown: set[bytes] = set()
        doubtful: list[bytes] = []
        for count, listed in enumerate(self._archive.listed(len(self._book)), start=1):
            self._progress("stored outcomes listed", count, len(self._book))
            row = self._book.find(listed.raw_id)
            if row is None:
                unknown.add(listed.raw_id)
                continue
            self._book.mark(row, STORED)
            published = self._book.flags(row) & PUBLISHED
            if self._deep or (published and listed.md5 != self._book.md5(row)):
                doubtful.append(listed.raw_id)
        self._read(iter(doubtful), len(doubtful))
        return unknown

    def compare_asked(self) -> None:
        """Read what is stored for the references in the book, one by one."""
        self._read((raw for raw, row in self._book if self._book.flags(row) & ASKED), len(self._book))

    def _read(self, ids: Iterator[bytes], total: int) -> None:
        for count, (raw, data) in enumerate(self._archive.read(ids), start=1):
            self._progress("stored outcomes read", count, total)
            row = self._book.find(raw)
            assert row is not None
            if data is not None:
                self._book.mark(row, STORED)
                self._compare(raw, row, data)

    def _compare(self, raw: bytes, row: int, data: bytes) -> None:
        record = _as_published(raw, data)
        if record is None:
            self._report.fault("stored_unreadable", raw.hex(), object_key(raw.hex()))
        elif self._book.flags(row) & PUBLISHED and fingerprint(record) != self._book.fingerprint(row):
            self._book.mark(row, DIFFERS)


def _as_published(raw: bytes, data: bytes) -> Record | None:
    """Return a stored outcome as the record it says was published; None where it is not one, or not this one."""
    try:
        stored = SettledOutcome.from_bytes(data)
    except MessageInvalid:
        return None
    topic = topics.VERDICTS if stored.kind == "verdict" else topics.DEAD_LETTERS
    if stored.outcome_id != raw.hex() or stored.topic != topic:
        return None
    return Record(stored.topic, 0, 0, stored.key, stored.value, stored.headers)
