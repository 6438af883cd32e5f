"""A small world on paper: references with their outcomes, and the report of an audit over them."""

from dataclasses import dataclass, field, replace

import pytest
from support.planted import INTAKE, MemoryArchive, id_of, letter_of, reference, settled, verdict_of

from schemas import topics
from schemas.incoming import Record
from streams.audit.book import Book
from streams.audit.outcomes import Outcomes
from streams.audit.progress import silent
from streams.audit.references import References
from streams.audit.report import Report
from streams.audit.run import conclude
from streams.audit.settled import Settled

GOOD = ("a", "b", "c")
BAD = ("x",)


@dataclass
class Paper:
    """What lies on the topics and in the store; `audit` reads it in the order in which the command does."""

    images: list[Record] = field(default_factory=list)
    waiting: list[Record] = field(default_factory=list)
    published: list[Record] = field(default_factory=list)
    archive: MemoryArchive = field(default_factory=MemoryArchive)
    committed: int = 1000
    first: int = 0  # offset at which the audited range begins
    whole: bool = True

    def publish(self, record: Record, identity: str | None = None) -> None:
        """Put an outcome on its topic; with an id also into the store."""
        offset = sum(record.topic == other.topic for other in self.published)
        self.published.append(replace(record, offset=offset))
        if identity is not None:
            self.archive.put(identity, settled(record, identity))

    def image(self, name: str) -> Record:
        return next(record for record in self.images if record.value == reference(name).value)

    def audit(self, *, mode="settled", complete=False, deep=False, show=5) -> Report:
        report, book = Report(mode, complete=complete, show=show, whole=self.whole), Book()
        references = References(book, report, INTAKE, {0: self.committed})
        outcomes = Outcomes(book, report, {0: (self.first, len(self.images))}, whole=self.whole)
        for record in self.images[self.first :]:
            references.take(record)
        for record in self.waiting:
            references.take_waiting(record)
        for record in self.published:
            outcomes.take(record)
        if mode == "settled":
            compare = Settled(book, report, self.archive, silent, deep=deep)
            if self.whole:
                for raw in sorted(compare.compare_all()):
                    report.fault("stored_for_nobody", raw.hex(), f"outcomes/{raw.hex()}.json")
            else:
                compare.compare_asked()
        conclude(book, report)
        return report


@pytest.fixture
def paper():
    """Three references with verdicts, one with a dead letter, all settled."""
    made = Paper()
    made.images = [reference(name, 0, offset) for offset, name in enumerate((*GOOD, *BAD))]
    for name in GOOD:
        made.publish(verdict_of(made.image(name), name), id_of(name))
    for name in BAD:
        made.publish(letter_of(made.image(name), id_of(name)), id_of(name))
    assert {record.topic for record in made.published} == {topics.VERDICTS, topics.DEAD_LETTERS}
    return made
