"""Live precision and recall by class, from what reviewers said, each with the interval that so few labels leave open.

Precision is over the labelled images that a verdict named the class for. Recall is over the labelled images that truly are of the class, as
far as somebody said so: reviewers look at what was flagged or complained about, so it is recall *among labelled images* and no estimate of
what slips through unseen. An image of a known class on which the verdict was withheld was not found. Disputed, contradictory and inconclusive
outcomes are set aside and counted.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.verdict import REAL
from streams.labels.judging import STATUSES, Judged, Stated, Status

ANY_AI: Final = "ai_generated"
"""The row of all generators together: whether the image is generated, whatever by."""
Z95: Final = 1.959964
"""Of a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `of`, with its 95 % interval; without any the interval is everything."""

    count: int
    of: int
    low: float
    high: float

    @classmethod
    def wilson(cls, count: int, of: int) -> "Rate":
        """Return the rate with Wilson's score interval (Probable inference, the law of succession, and statistical inference, 1927).

        >>> rate = Rate.wilson(8, 10)
        >>> round(rate.low, 4), round(rate.high, 4)
        (0.4902, 0.9433)
        """
        if of == 0:
            return cls(0, 0, 0.0, 1.0)
        middle = (count + Z95 * Z95 / 2) / (of + Z95 * Z95)
        half = Z95 / (of + Z95 * Z95) * math.sqrt(count * (of - count) / of + Z95 * Z95 / 4)
        # at none and at all one end is exact, and rounding may not put the rate itself outside
        low = 0.0 if count == 0 else max(0.0, middle - half)
        return cls(count, of, low, 1.0 if count == of else min(1.0, middle + half))

    @property
    def value(self) -> float | None:
        """The rate, or None for none."""
        return self.count / self.of if self.of else None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-compatible values; without a rate there is no interval to show."""
        if self.of == 0:
            return {"count": 0, "of": 0}
        ends = {"value": self.count / self.of, "low": self.low, "high": self.high}
        return {"count": self.count, "of": self.of, **{name: round(end, 6) for name, end in ends.items()}}


@dataclass(frozen=True, slots=True)
class Row:
    """One class: how often its name was right, and how much of it was found among the labelled images."""

    source: str
    precision: Rate
    recall: Rate


@dataclass(slots=True)
class Tally:
    """Counts of judged outcomes; what was added can be taken out again, so that it follows labels that change and expire."""

    said: Counter[str] = field(default_factory=Counter)
    said_right: Counter[str] = field(default_factory=Counter)
    true: Counter[str] = field(default_factory=Counter)
    true_found: Counter[str] = field(default_factory=Counter)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By truth and by what the verdict said: the source, or the verdict where it was withheld."""
    statuses: Counter[Status] = field(default_factory=Counter)

    def add(self, stated: Stated, judged: Judged, times: int = 1) -> None:
        """Count an outcome; with `times` -1 take it out."""
        self.statuses[judged.status] += times
        if judged.status != "counted":
            return
        if stated.source is not None:
            self.said[stated.source] += times
            self.said_right[stated.source] += times * bool(judged.right)
        if judged.truth is not None:
            self.true[judged.truth] += times
            self.true_found[judged.truth] += times * (judged.truth == stated.source)
            self.confusion[judged.truth, stated.source or stated.verdict] += times
        if judged.is_ai is not None:
            says_ai = stated.verdict == ANY_AI
            self.said[ANY_AI] += times * says_ai
            self.said_right[ANY_AI] += times * (says_ai and judged.is_ai)
            self.true[ANY_AI] += times * judged.is_ai
            self.true_found[ANY_AI] += times * (says_ai and judged.is_ai)

    @property
    def outcomes(self) -> int:
        """How many outcomes have a label, those set aside included."""
        return self.statuses.total()

    def rows(self) -> list[Row]:
        """Return all generators together, then every class that was stated or is true, `real` last."""
        names = {name for counts in (self.said, self.true) for name, count in counts.items() if count}
        return [
            Row(
                name,
                Rate.wilson(self.said_right[name], self.said[name]),
                Rate.wilson(self.true_found[name], self.true[name]),
            )
            for name in sorted(names, key=lambda name: (name != ANY_AI, name == REAL, name))
        ]

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON-compatible values."""
        matrix: dict[str, dict[str, int]] = {}
        for (truth, said), count in sorted(self.confusion.items()):
            if count:
                matrix.setdefault(truth, {})[said] = count
        return {
            "outcomes": self.outcomes,
            **{status: self.statuses[status] for status in STATUSES},
            "classes": [
                {"source": row.source, "precision": row.precision.as_json(), "recall": row.recall.as_json()}
                for row in self.rows()
            ],
            "confusion": matrix,
        }


def tally(outcomes: Iterable[tuple[Stated, Judged]]) -> Tally:
    """Count outcomes from the beginning."""
    counted = Tally()
    for stated, judged in outcomes:
        counted.add(stated, judged)
    return counted
