"""The labels of the last days, counted as they come: what gauges, the page and the report read.

Its state follows from the labels alone, in whatever order and however often they come: a repeat changes nothing, the last label (by
`labelled_at`) of one reviewer for one outcome counts, and what is older than the window goes. Every worker reads all of it for itself.
"""

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from schemas.label import Labelled
from streams.labels.judging import Judged, Stated, Word, judge
from streams.labels.tally import Row, Tally

MOST_LABELS: Final = 100_000
"""About 90 MB, and 60 more where each is of another tenant. With more the oldest go, and `left_out` says how many."""
SPARE: Final = 1_000
"""Entries of labels that were replaced and that wait for their turn to be dropped."""

Age = tuple[datetime, bytes]
"""When a label was given; of two at one moment the same one counts in every worker, by a hash of its bytes."""


@dataclass(slots=True)
class _Case:
    """One outcome and the last word of each of its reviewers."""

    tenant: str
    stated: Stated
    words: dict[str, tuple[Age, Word]] = field(default_factory=dict)
    judged: Judged | None = None


class LabelBook:
    """Labels by outcome and reviewer, with the tally over all tenants and of each."""

    def __init__(self, *, since: datetime, most: int = MOST_LABELS) -> None:
        self._since = since
        self._most = most
        self._cases: dict[str, _Case] = {}
        self._overall = Tally()
        self._by_tenant: dict[str, Tally] = {}
        self._stated: dict[Stated, Stated] = {}  # models say the same few things: each is kept once
        self._ages: list[tuple[Age, str, str]] = []  # a heap; what no longer counts is skipped when it comes up
        self._labels = 0
        self.left_out = 0

    @property
    def labels(self) -> int:
        """How many labels count, those of several reviewers each."""
        return self._labels

    def take(self, labelled: Labelled) -> bool:
        """Count a joined label; return whether it changed anything."""
        label = labelled.label
        if label.labelled_at < self._since:
            return False
        age = (label.labelled_at, hashlib.blake2b(label.to_bytes(), digest_size=8).digest())
        case = self._cases.get(label.outcome_id)
        if case is None:
            stated = Stated(labelled.verdict, labelled.predicted_source, labelled.classes)
            case = self._cases[label.outcome_id] = _Case(label.tenant, self._stated.setdefault(stated, stated))
        before = case.words.get(label.reviewer)
        if before is not None and before[0] >= age:
            return False
        self._labels += before is None
        case.words[label.reviewer] = (age, Word.of(label))
        heapq.heappush(self._ages, (age, label.outcome_id, label.reviewer))
        self._judge_again(case)
        if len(self._ages) > 2 * self._labels + SPARE:
            self._ages = [(word[0], key, who) for key, one in self._cases.items() for who, word in one.words.items()]
            heapq.heapify(self._ages)
        while self._labels > self._most:
            self.left_out += self._drop_oldest()
        return True

    def forget_before(self, moment: datetime) -> None:
        """Drop the labels given before `moment`, and take none of them any more."""
        self._since = max(self._since, moment)
        while self._ages and self._ages[0][0][0] < self._since:
            self._drop_oldest()

    def judged(self, outcome_id: str) -> Judged | None:
        """Return what the reviewers say of an outcome, or None where nobody said anything."""
        case = self._cases.get(outcome_id)
        return None if case is None else case.judged

    def outcomes(self) -> Iterator[tuple[str, Stated, Judged]]:
        """Yield every labelled outcome with what was stated and what it comes to."""
        for outcome_id, case in self._cases.items():
            assert case.judged is not None, "judged when its first label came"
            yield outcome_id, case.stated, case.judged

    def tenants(self) -> list[str]:
        """Return the tenants that have labels, by name."""
        return sorted(self._by_tenant)

    def tally(self, tenant: str | None = None) -> Tally:
        """Return the counts of one tenant, or of all; to be read, not to be changed."""
        return self._overall if tenant is None else self._by_tenant.get(tenant) or Tally()

    def rows(self, tenant: str | None = None) -> list[Row]:
        """Return precision and recall by class, of one tenant or of all."""
        return self.tally(tenant).rows()

    def _judge_again(self, case: _Case) -> None:
        of_tenant = self._by_tenant.setdefault(case.tenant, Tally())
        for counts in (self._overall, of_tenant):
            if case.judged is not None:
                counts.add(case.stated, case.judged, -1)
        case.judged = judge(case.stated, [word for _, word in case.words.values()]) if case.words else None
        for counts in (self._overall, of_tenant):
            if case.judged is not None:
                counts.add(case.stated, case.judged)
        if not of_tenant.outcomes:
            del self._by_tenant[case.tenant]

    def _drop_oldest(self) -> bool:
        """Drop the oldest entry of the heap; return whether it still counted."""
        age, outcome_id, reviewer = heapq.heappop(self._ages)
        case = self._cases.get(outcome_id)
        if case is None or case.words.get(reviewer, (None,))[0] != age:
            return False
        del case.words[reviewer]
        self._labels -= 1
        self._judge_again(case)
        if not case.words:
            del self._cases[outcome_id]
        return True
