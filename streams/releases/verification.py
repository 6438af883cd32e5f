"""Holds a verdict against the same image judged again by the same model: field by field, probabilities within a stated tolerance."""

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.verdict import Verdict

ROUNDING = 1e-6
"""Probabilities are written with six digits."""
NOVELTY_TOLERANCE = 1e-3
"""Of the distance itself: it is a sum over hundreds of features, and has no scale of its own."""


@dataclass(frozen=True, slots=True)
class Row:
    """One field, as the verdict has it and as it came out again."""

    field: str
    stored: str
    again: str
    same: bool


def held_against(stored: Verdict, again: Verdict, *, tolerance: float) -> list[Row]:
    """Return a row for each field that rests on image and model; where and when it was judged is not among them."""
    return list(_rows(stored, again, tolerance + ROUNDING))


def largest_gap(stored: Verdict, again: Verdict) -> float:
    """Return the largest difference of a probability over the classes that both have, or 0 where neither has any."""
    ours, theirs = stored.per_class_probs or {}, again.per_class_probs or {}
    return max((abs(ours[name] - theirs[name]) for name in ours.keys() & theirs.keys()), default=0.0)


def _rows(stored: Verdict, again: Verdict, tolerance: float) -> Iterator[Row]:
    for name, ours, theirs in (
        ("image", stored.object.sha256, again.object.sha256),
        ("model", stored.model.sha256, again.model.sha256),
        ("calibration", stored.model.calibration_id, again.model.calibration_id),
        ("pixels", stored.model.preprocess_id, again.model.preprocess_id),
        ("classes", stored.model.classes, again.model.classes),
        ("verdict", stored.verdict, again.verdict),
        ("source", stored.predicted_source, again.predicted_source),
        ("reasons", stored.reasons, again.reasons),
        ("label set", _labels(stored), _labels(again)),
    ):
        yield Row(name, _text(ours), _text(theirs), ours == theirs)
    yield _number("confidence", stored.confidence, again.confidence, tolerance)
    yield _number("p_ai", stored.p_ai, again.p_ai, tolerance)
    table, other_table = stored.per_class_probs or {}, again.per_class_probs or {}
    for name in dict.fromkeys((*table, *other_table)):
        yield _number(f"p({name})", table.get(name), other_table.get(name), tolerance)
    members = {member.name: member.p_ai for member in again.members}
    for member in stored.members:
        yield _number(f"{member.name} p_ai", member.p_ai, members.get(member.name), tolerance)
    if stored.novelty is not None or again.novelty is not None:
        score, other = (None if of.novelty is None else of.novelty.score for of in (stored, again))
        yield _number("novelty", score, other, NOVELTY_TOLERANCE * abs(score or 1.0))


def _number(field: str, stored: float | None, again: float | None, tolerance: float) -> Row:
    same = stored is again is None or (stored is not None and again is not None and abs(stored - again) <= tolerance)
    return Row(field, _text(stored), _text(again), same)


def _labels(verdict: Verdict) -> tuple[str, ...] | None:
    """Return the label set without its order: two labels may be as likely."""
    return None if verdict.label_set is None else tuple(sorted(verdict.label_set.labels))


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6f}"
    return ", ".join(map(str, value)) or "-" if isinstance(value, tuple) else str(value)
