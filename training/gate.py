"""Holds a report card against the least that is asked: the step of a build that stops a release which is not good enough."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from schemas.errors import CheckFailed, UsageError
from training.conditions import LAUNDERED
from training.params import GateParams
from training.report.schema import Figure, Report, SetFigures

TEST: Final = "test"
By = Literal["value", "lower-bound"]


@dataclass(frozen=True, slots=True)
class Held:
    """One figure against what is asked of it."""

    figure: str
    asked: float
    found: float | None
    interval: tuple[float, float] | None
    met: bool


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where a figure stands in a report, and whether more of it is better."""

    name: str
    read: Callable[[SetFigures], Figure]
    at_least: bool


_FIGURES: Final = {
    "min_macro_f1": _Asked("macro_f1", lambda figures: figures.macro_f1, at_least=True),
    "min_accuracy": _Asked("accuracy", lambda figures: figures.accuracy, at_least=True),
    "min_auroc": _Asked("auroc", lambda figures: figures.auroc, at_least=True),
    "min_tpr_at_fpr_1": _Asked("tpr_at_fpr_1", lambda figures: figures.tpr_at_fpr[0].tpr, at_least=True),
    "max_ece": _Asked("ece", lambda figures: figures.calibration.ece, at_least=False),
}


def gate_report(
    report: Report, asked: GateParams, *, split: str = TEST, condition: str = LAUNDERED, by: By = "value"
) -> list[Held]:
    """Hold every figure that is asked for against the report, in a fixed order.

    `lower-bound` compares the pessimistic end of the interval by units: what is met by luck on few images is then not met. A figure that
    is undefined on the set is not met. Raises `UsageError` where the report has no such split or condition, or nothing is asked.
    """
    parts = report.sets.get(split)
    if parts is None or condition not in parts:
        there = parts if parts is not None else report.sets
        raise UsageError(
            f"the report has no {'condition ' + condition if parts is not None else 'split ' + split}",
            why=f"it has {', '.join(there)}",
            remedy="Name one of these.",
        )
    limits = {name: value for name, value in asked.model_dump().items() if name in _FIGURES and value is not None}
    if not limits:
        raise UsageError(
            "nothing is asked of the report",
            why="neither an option nor the section `gate` of the parameters sets a limit",
            remedy="Say what it must reach, such as --min-macro-f1 0.82.",
        )
    return [_held(_FIGURES[name], value, parts[condition], by) for name, value in limits.items()]


def require_met(held: list[Held], *, split: str, condition: str) -> None:
    """Raise `CheckFailed` naming every figure that falls short."""
    short = [one for one in held if not one.met]
    if short:
        raise CheckFailed(
            f"the report card falls short in {len(short)} of {len(held)} figures",
            why=f"{split}, {condition}: "
            + ", ".join(
                f"{one.figure} {'undefined' if one.found is None else f'{one.found:.4g}'}, asked {one.asked:g}"
                for one in short
            ),
            remedy="Do not release this checkpoint; or ask for what it can do, and say so.",
        )


def _held(asked: _Asked, limit: float, figures: SetFigures, by: By) -> Held:
    figure = asked.read(figures)
    interval = figure.bootstrap_95 or figure.wilson_95
    value = figure.value
    if value is not None and by == "lower-bound":
        value = None if interval is None else interval[0 if asked.at_least else 1]
    met = value is not None and (value >= limit if asked.at_least else value <= limit)
    return Held(asked.name, limit, figure.value, interval, met)
