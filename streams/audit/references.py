"""The input's side: what the records of the images topic ask for, by the schemas alone."""

from collections.abc import Collection, Mapping
from typing import Final

from schemas import topics
from schemas.incoming import Intake, Record, Reference
from schemas.retry import Retry
from streams.audit.book import ACCEPTABLE, DUE, STRANDED, WAITING, Book, pack
from streams.audit.fingerprint import raw_id
from streams.audit.report import Report

ALL_RETRY_TOPICS: Final = topics.retry_topics(topics.MAX_RETRY_TOPICS)


class References:
    """Enters into the book what is asked for. `committed` is the scoring group's offset of each partition of the images topic."""

    def __init__(
        self,
        book: Book,
        report: Report,
        intake: Intake,
        committed: Mapping[int, int],
        retry_topics: Collection[str] = ALL_RETRY_TOPICS,
    ) -> None:
        """Take the parts; `retry_topics` are those that the workers are told to read."""
        self._retry_topics = retry_topics
        self._book = book
        self._report = report
        self._intake = intake
        self._committed = committed

    def take(self, record: Record) -> None:
        """Note every outcome that a record of the images topic asks for."""
        self._report.records += 1
        asked = self._intake.read(record)
        if not asked:
            self._report.ignored += 1
        place = pack(record.partition, record.offset)
        due = DUE if record.offset < self._committed.get(record.partition, 0) else 0
        for one in asked:
            acceptable = ACCEPTABLE if isinstance(one, Reference) else 0
            self._report.references += 1
            self._report.accepted += self._book.ask(bytes.fromhex(one.outcome_id), place, acceptable | due)

    def take_waiting(self, record: Record) -> None:
        """Note which outcome waits on a retry topic; a record that somebody else wrote there says nothing."""
        retry = Retry.read(record)
        raw = raw_id(retry.outcome_id) if retry is not None and retry.original.topic == topics.IMAGES else None
        row = None if raw is None else self._book.find(raw)
        if row is not None:
            self._book.mark(row, WAITING if record.topic in self._retry_topics else WAITING | STRANDED)

    def ids(self, record: Record) -> list[bytes]:
        """Return what a record asks for, without noting it."""
        return [bytes.fromhex(one.outcome_id) for one in self._intake.read(record)]
