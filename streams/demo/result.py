"""What a run of the demo came to, and whether that is what it must come to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.verdict import Verdict, is_simulated
from schemas.window import DriftAlert, WindowSummary
from streams.demo.gallery import Shown
from streams.demo.sending import Sent
from streams.demo.tally import Tally


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a verdict compares with what the image is said to be."""

    label: str | None
    agrees: bool | None

    @classmethod
    def of(cls, sent: Sent, verdict: Verdict) -> "Judgement":
        """Compare, where the label is a class the model knows; an undecided verdict does not agree."""
        label = sent.parcel.label
        if label not in verdict.model.classes:
            return cls(None, None)
        return cls(label, verdict.predicted_source == label)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The tally, the gallery and the clock of one run."""

    tally: Tally
    shown: Sequence[Shown]
    seconds: float
    report: Path
    worker_faults: Sequence[str] = field(default=())

    @property
    def windows(self) -> list[WindowSummary]:
        """The published windows, oldest first."""
        return sorted(self.tally.windows.values(), key=lambda window: window.start)

    @property
    def alerts(self) -> list[DriftAlert]:
        """The drift alerts, oldest first."""
        return sorted(self.tally.alerts.values(), key=lambda alert: alert.start)

    @property
    def overlays(self) -> int:
        """How many overlays were downloaded and opened."""
        return sum(1 for shown in self.shown if shown.overlay)

    @property
    def agreement(self) -> tuple[int, int]:
        """Return (verdicts that name the label, verdicts on images with a label the model knows)."""
        judged = [Judgement.of(shown.sent, shown.verdict).agrees for shown in self.shown]
        return sum(1 for agrees in judged if agrees), sum(1 for agrees in judged if agrees is not None)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the model, in its order; none where nothing was judged."""
        return next((shown.verdict.model.classes for shown in self.shown), ())

    @property
    def is_simulated(self) -> bool:
        """Whether a verdict came from a checkpoint that was trained on simulated images."""
        return any(is_simulated(shown.verdict.model.training_data) for shown in self.shown)

    @property
    def problems(self) -> list[str]:
        """What is not as it must be; empty when the demo succeeded."""
        tally = self.tally
        found = [f"{sent.parcel.name}: no outcome" for sent in tally.missing]
        if tally.duplicate_outcomes:
            found.append(f"{tally.duplicate_outcomes} outcomes were published more than once")
        if tally.strangers:
            found.append(f"{tally.strangers} outcomes belong to no reference")
        found += [
            f"{surprise.sent.parcel.name}: came to {surprise.came}, must come to {surprise.sent.parcel.expected}"
            for surprise in tally.surprises
        ]
        found += [
            f"{shown.sent.parcel.name}: its overlay, {shown.verdict.explanation.status}, cannot be opened"
            for shown in self.shown
            if shown.overlay is None and shown.verdict.explanation.status in {"written", "failed"}
        ]
        if tally.verdicts and not tally.windows:
            found.append("no window was published")
        return [*found, *self.worker_faults]

    def to_json(self) -> dict[str, Any]:
        """Return the figures, as `demo --json` prints them."""
        agreeing, labelled = self.agreement
        largest = max(self.windows, key=lambda window: window.images, default=None)
        return {
            "published": len(self.tally.sent),
            "verdicts": len(self.tally.verdicts),
            "dead_letters": len(self.tally.dead_letters),
            "missing": len(self.tally.missing),
            "duplicate_outcomes": self.tally.duplicate_outcomes,
            "overlays": self.overlays,
            "windows": len(self.windows),
            "drift_alerts": len(self.alerts),
            "kl_current_reference_nats": largest.kl_current_reference_nats if largest else None,
            "labelled": labelled,
            "agreeing": agreeing,
            "simulated": self.is_simulated,
            "seconds": round(self.seconds, 1),
            "report": str(self.report),
            "problems": self.problems,
        }
