"""Probabilities to a verdict: is it AI, and which generator given AI. Pure arithmetic, one written rule."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.errors import CheckpointRefused, InferenceFailed
from schemas.verdict import REAL, VerdictName

AI_THRESHOLD = 0.5
"""`p_ai` at or over this leans to `ai_generated`; how sure the lean must be is a setting (`pipeline.min_confidence`)."""

MIN_ASSESSABLE_PX = 32
"""An image with a shorter side has too few pixels to carry a generator's traces."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the probabilities come to."""

    verdict: VerdictName
    p_ai: float | None = None
    confidence: float | None = None
    predicted_source: str | None = None
    is_ai_generated: bool | None = None
    per_class_probs: dict[str, float] | None = None
    p_generator_given_ai: dict[str, float] | None = None


NOT_ASSESSABLE = Decision("not_assessable")


def check_classes(classes: Sequence[str]) -> None:
    """Refuse a class list that no verdict can be made from.

    Raises:
        CheckpointRefused: fewer than two classes, repeats, or no class `real`.
    """
    if len(classes) < 2 or len(set(classes)) != len(classes) or REAL not in classes:  # noqa: PLR2004
        raise CheckpointRefused(
            "the checkpoint's class list cannot be used",
            why=f"it needs two or more different classes, one of them {REAL!r}",
            remedy="Train with a class `real` beside the generators.",
        )


def decide(classes: Sequence[str], probs: npt.NDArray[np.floating], *, min_confidence: float) -> Decision:
    """Return the decision for calibrated probabilities `probs` (shape [n], summing to 1) over `classes`.

    `predicted_source` is `real`, or the likeliest generator given AI; it is None when the verdict is inconclusive, since a
    source must not be read off a verdict that was not given.
    """
    if not np.isfinite(probs).all():
        raise InferenceFailed("the model gave no probabilities", why="one of them is not a finite number")
    table = {name: float(p) for name, p in zip(classes, probs, strict=True)}
    p_ai = min(1.0, max(0.0, 1.0 - table[REAL]))
    generators = {name: p for name, p in table.items() if name != REAL}
    total = sum(generators.values())
    given_ai = {name: p / total for name, p in generators.items()} if total > 0 else None
    leans_ai = p_ai >= AI_THRESHOLD
    confidence = p_ai if leans_ai else 1.0 - p_ai
    verdict: VerdictName = "inconclusive" if confidence < min_confidence else "ai_generated" if leans_ai else "real"
    source = None
    if verdict == "ai_generated":
        source = max(generators, key=generators.__getitem__)
    elif verdict == "real":
        source = REAL
    return Decision(
        verdict=verdict,
        p_ai=p_ai,
        confidence=confidence,
        predicted_source=source,
        is_ai_generated=None if verdict == "inconclusive" else leans_ai,
        per_class_probs=table,
        p_generator_given_ai=given_ai,
    )
