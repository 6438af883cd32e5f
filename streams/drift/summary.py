"""A closed window, said to the world: its summary, as far as it follows from counting, and what is published with it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.identity import outcome_id
from schemas.observations import UNIT
from schemas.window import DriftAlert, GeneratorCandidate, WindowSummary
from streams.drift.answers import Answers
from streams.drift.records import Closing
from streams.drift.rows import Rows, probabilities
from streams.drift.windows import ClosedWindow

DIGITS = 6


@dataclass(frozen=True, slots=True)
class Words:
    """What is published of one closed window."""

    summary: WindowSummary
    alerts: tuple[DriftAlert, ...] = ()
    candidates: tuple[GeneratorCandidate, ...] = ()

    def require_readable(self) -> None:
        """Raise `MessageInvalid` where a reader could not read a message back, as with a figure that is no number: it would be refused for ever."""
        for one in (self.summary, *self.alerts, *self.candidates):
            type(one).from_bytes(one.to_bytes())

    def closing(self) -> Closing:
        """Return it as text."""
        after = (*self.alerts, *self.candidates)
        return Closing(self.summary.to_bytes().decode(), tuple(one.to_bytes().decode() for one in after))


def counted(tenant: str, closed: ClosedWindow) -> WindowSummary:
    """Return the summary as far as it follows from counting alone: a recount arrives at the same."""
    total = closed.total
    decided = total.counts.total()
    start, end = _instant(closed.start_ms), _instant(closed.end_ms)
    return WindowSummary(
        window_id=window_id(tenant, closed.spec.name, closed.start_ms),
        tenant=tenant,
        window=closed.spec.name,
        start=start,
        end=end,
        images=total.images,
        counts=dict(total.counts),
        probability_sums={name: round(units / UNIT, DIGITS) for name, units in total.sums.items()},
        verdicts=dict(total.verdicts),
        undecided=total.undecided,
        late=closed.late,
        confidence_histogram=total.histogram,
        mean_confidence=round(total.confidence_sum / total.rated / UNIT, DIGITS) if total.rated else None,
        raw_shares={name: round(count / decided, DIGITS) for name, count in total.counts.items()} if decided else None,
        model_versions=tuple(sorted(total.models)),
    )


def window_id(tenant: str, spec: str, start_ms: int) -> str:
    """Return the id of a window."""
    return outcome_id("window", tenant, spec, str(start_ms))


def answers_of(sample: Rows) -> list[Answers]:
    """Return the sample, by model; one that states no prior is taken as calibrated for an even mix."""
    return [
        Answers(
            classes=model.classes,
            prior=model.prior or tuple(1 / len(model.classes) for _ in model.classes),
            calibration_id=model.calibration_id,
            probs=probs,
            novel=novel,
        )
        for code, model in enumerate(sample.models)
        for probs, novel in [probabilities(sample, code)]
        if len(novel)
    ]


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
