"""What the labels of a range come to: rates by class, what is set aside, what has no verdict, and whether the calibrations hold."""

import hashlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from schemas import topics
from schemas.errors import MessageInvalid, MessageRejected
from schemas.incoming import Record
from schemas.label import Label, Labelled
from streams.labels.book import LabelBook
from streams.labels.calibration import Finding, findings, samples
from streams.labels.joining import read_label
from streams.labels.judging import Judged
from streams.labels.tally import Tally


class LabelReport:
    """Fed with the records of both topics, in any order."""

    def __init__(self, *, since: datetime, tenant: str | None = None, now: datetime | None = None) -> None:
        """Take labels given from `since` on, of one tenant or of all; those that lie ahead of `now` are none."""
        self._since = since
        self._now = now or datetime.now(UTC)
        self._tenant = tenant
        self._book = LabelBook(since=since)
        self._joined: dict[str, Labelled] = {}
        self._with_verdict: set[bytes] = set()
        self._sent: set[bytes] = set()
        self.refused: Counter[str] = Counter()
        """Records on the labels topic that are no labels, by code; whose they are is not known."""

    def take(self, record: Record) -> None:
        """Count a record of either topic."""
        if record.topic == topics.LABELLED:
            self._take_joined(record.value)
        else:
            self._take_sent(record.value)

    @property
    def tally(self) -> Tally:
        """The counts over all outcomes in the range."""
        return self._book.tally()

    @property
    def book(self) -> LabelBook:
        """The labels in the range, by outcome and tenant."""
        return self._book

    @property
    def unmatched(self) -> int:
        """How many labels have no verdict: there is none, it is another tenant's, or they are not joined yet."""
        return len(self._sent - self._with_verdict)

    def judged(self) -> list[tuple[Labelled, Judged]]:
        """Return every labelled verdict with what it comes to."""
        pairs = ((one, self._book.judged(outcome_id)) for outcome_id, one in self._joined.items())
        return [(one, judged) for one, judged in pairs if judged is not None]

    def findings(self, *, min_labels: int) -> list[Finding]:
        """Return what the labels say of each calibration."""
        return findings(samples(self.judged()), min_labels=min_labels)

    def as_json(self, *, min_labels: int) -> dict[str, Any]:
        """Return all of it as JSON-compatible values."""
        return {
            "since": self._since,
            "tenant": self._tenant,
            "labels": self._book.labels,
            **self.tally.as_json(),
            "unmatched": self.unmatched,
            "refused": dict(self.refused),
            "calibrations": [finding.as_json() for finding in self.findings(min_labels=min_labels)],
        }

    def _take_joined(self, value: bytes | None) -> None:
        try:
            one = Labelled.from_bytes(value or b"")
        except MessageInvalid:
            self.refused["labelled_unreadable"] += 1
            return
        if self._is_asked_for(one.label):
            self._with_verdict.add(_mark(one.label))
            self._book.take(one)
            self._joined[one.label.outcome_id] = one

    def _take_sent(self, value: bytes | None) -> None:
        try:
            label = read_label(value, now=self._now)
        except MessageRejected as error:
            self.refused[error.code] += 1
            return
        if self._is_asked_for(label):
            self._sent.add(_mark(label))

    def _is_asked_for(self, label: Label) -> bool:
        return label.labelled_at >= self._since and self._tenant in {None, label.tenant}


def _mark(label: Label) -> bytes:
    return hashlib.blake2b(label.to_bytes(), digest_size=12).digest()
