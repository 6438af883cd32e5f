"""What an audit found: counts, and for each kind of fault how many and where the first few are. Ids and places only, never keys."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["settled", "at_least_once"]

FAULTS: Mapping[str, str] = {
    "missing": "accepted, committed past, and no outcome",
    "both": "a verdict and a dead letter",
    "repeats_not_identical": "records of one outcome that are not byte-equal",
    "unreadable": "records on an outcome topic that are no outcome, or name another id inside than outside",
    "wrong_source": "outcomes that name as their source a record that does not ask for them",
    "refused_but_judged": "verdicts where only a dead letter may answer",
    "nobody_asked": "outcomes that no record asks for",
    "not_stored": "published outcomes that are not settled in the store",
    "differs_from_stored": "published outcomes that are not what is stored",
    "stored_unreadable": "stored outcomes that cannot be read",
    "stored_not_published": "settled, committed past, and not published (also among the missing)",
    "stored_for_nobody": "stored outcomes that no record asks for",
    "stranded": "accepted, waiting on a retry topic that the workers are not told to read (fewer RETRY_DELAYS_S than there were)",
    "expired_unread": "places where retention took away what the group had not read yet",
    "pending": "accepted, not worked off yet (a fault only with --complete)",
}
"""Every kind of fault, in the order of the report."""


@dataclass(frozen=True, slots=True)
class Example:
    """One fault: which outcome, and the record or object at which it shows."""

    outcome_id: str
    at: str


@dataclass(slots=True)
class Report:
    """The counts of one audit. `outcome` counts are of ids, not of records."""

    mode: Mode
    complete: bool = False
    show: int = 5
    whole: bool = False
    range: dict[int, tuple[int, int]] = field(default_factory=dict)
    records: int = 0
    ignored: int = 0
    references: int = 0
    accepted: int = 0
    verdicts: int = 0
    dead_letters: int = 0
    dead_letters_by_code: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    stored: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def fault(self, kind: str, outcome_id: str, at: str) -> None:
        """Count a fault, and keep it as an example if it is among the first."""
        assert kind in FAULTS, kind
        self.counts[kind] += 1
        shown = self.examples.setdefault(kind, [])
        if len(shown) < self.show:
            shown.append(Example(outcome_id, at))

    @property
    def duplicates(self) -> int:
        """How many references ask for an outcome that another one asked for before."""
        return self.references - self.accepted

    @property
    def failed(self) -> list[str]:
        """Return the kinds of fault that make this audit fail: without settling, repeats are not promised to be identical."""
        allowed = {"pending"} if not self.complete else set()
        if self.mode == "at_least_once":
            allowed.add("repeats_not_identical")
        return [kind for kind in FAULTS if self.counts[kind] and kind not in allowed]

    def to_json(self) -> dict[str, Any]:
        """Return everything, JSON-compatible."""
        return {
            "ok": not self.failed,
            "mode": self.mode,
            "whole": self.whole,
            "range": {str(partition): list(span) for partition, span in sorted(self.range.items())},
            "records": self.records,
            "ignored": self.ignored,
            "references": self.references,
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "verdicts": self.verdicts,
            "dead_letters": self.dead_letters,
            "dead_letters_by_code": dict(sorted(self.dead_letters_by_code.items())),
            "repeats": self.repeats,
            "stored": self.stored,
            **{kind: self.counts[kind] for kind in FAULTS},
            "failed": self.failed,
            "examples": {
                kind: [{"outcome_id": e.outcome_id, "at": e.at} for e in self.examples[kind]]
                for kind in FAULTS
                if kind in self.examples
            },
            "notes": self.notes,
        }
