"""Probabilities to a verdict: is it AI, and which generator given AI. Pure arithmetic, one written rule, for a worker and an evaluation alike.

What may be said rests on the rules in the checkpoint (`model/abstention.py`):

1. `p_ai` from `ai_from` on is `ai_generated`, up to `real_to` it is `real`; between them the evidence is weak, and the verdict is withheld.
2. An image less like every known class than the threshold allows is novel. One that is AI comes from an `unknown_generator`. One that would be
   `real` is withheld: detectors lean to `real` on what they have never seen, so a novel "photograph" is how a new generator looks. The price is
   known, the rule's false-rejection rate: such a share of photographs (5 % by default) waits for somebody to look, and none is accused.
3. An image whose lean turns when it is shipped again (`model/reship.py`) is withheld: the verdict would hang on who delivered it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from model.classifier import ModelInfo, Prediction
from model.embedding import packed
from model.pixels import Header, Pixels
from schemas.errors import InferenceFailed
from schemas.verdict import REAL, UNKNOWN_GENERATOR, LabelSet, Novelty, Reason, Stability, VerdictName

DEFAULT_CONFIDENCE: Final = 0.6
"""How sure a verdict must be where neither the checkpoint brings a rule (one that was not calibrated, the fake classifier) nor the settings do."""

MIN_ASSESSABLE_PX: Final = 32
"""An image with a shorter side has too few pixels to carry a generator's traces."""


@dataclass(frozen=True, slots=True)
class Band:
    """`ai_generated` from `ai_from` on, `real` up to `real_to`, neither between them."""

    ai_from: float
    real_to: float

    def leans_to_ai(self, p_ai: float) -> bool:
        """Whether this is on the side of `ai_generated`, seen from the middle of the band."""
        return p_ai >= (self.ai_from + self.real_to) / 2


@dataclass(frozen=True, slots=True)
class Decision:
    """What the probabilities come to. `reasons` are there exactly where the verdict is withheld."""

    verdict: VerdictName
    p_ai: float | None = None
    confidence: float | None = None
    predicted_source: str | None = None
    is_ai_generated: bool | None = None
    per_class_probs: dict[str, float] | None = None
    p_generator_given_ai: dict[str, float] | None = None
    label_set: LabelSet | None = None
    novelty: Novelty | None = None
    stability: Stability | None = None
    reasons: tuple[Reason, ...] = ()


def why_not_assessable(seen: Pixels | Header) -> tuple[Reason, ...]:
    """Return why nothing may be said about an image, whatever a model would make of it; empty where it may be judged."""
    faults: dict[Reason, bool] = {
        "too_small": min(seen.width, seen.height) < MIN_ASSESSABLE_PX,
        "blank": "blank" in seen.flags,
        "truncated": isinstance(seen, Header),
    }
    return tuple(reason for reason, holds in faults.items() if holds)


def band_of(model: ModelInfo, min_confidence: float | None = None) -> Band:
    """Return the band of the checkpoint's own rule; `min_confidence` overrides it, the same on both sides."""
    if min_confidence is None and model.abstention is not None:
        return Band(model.abstention.decision.ai_from, model.abstention.decision.real_to)
    least = max(0.5, DEFAULT_CONFIDENCE if min_confidence is None else min_confidence)
    return Band(least, 1 - least)


def decide(
    prediction: Prediction, *, stability: Stability | None = None, min_confidence: float | None = None
) -> Decision:
    """Return the decision for one prediction, by the rules of the model that gave it.

    `predicted_source` is `real`, the likeliest generator given AI, or `unknown_generator`; it is None when the verdict is withheld,
    since a source must not be read off a verdict that was not given.

    Raises:
        InferenceFailed: a probability or the score of novelty is not a finite number.
    """
    model, table, p_ai = prediction.model, _table(prediction), p_ai_of(prediction)
    generators = {name: p for name, p in table.items() if name != REAL}
    total = sum(generators.values())
    band = band_of(model, min_confidence)
    is_ai, is_real = p_ai >= band.ai_from, p_ai <= band.real_to
    novelty = _novelty(prediction)
    is_novel = novelty is not None and novelty.score > novelty.threshold
    is_unstable = stability is not None and stability.flips > 0

    verdict: VerdictName = "ai_generated" if is_ai else "real"
    source = REAL if verdict == REAL else UNKNOWN_GENERATOR if is_novel else max(generators, key=generators.__getitem__)
    confidence = p_ai if is_ai else 1 - p_ai
    reasons: tuple[Reason, ...] = ()
    if is_unstable or not (is_ai or is_real) or (is_novel and not is_ai):
        faults: dict[Reason, bool] = {
            "weak_evidence": not (is_ai or is_real),
            "novel": is_novel,
            "unstable": is_unstable,
        }
        verdict, confidence = "inconclusive", max(p_ai, 1 - p_ai)
        reasons = tuple(reason for reason, holds in faults.items() if holds)
    withheld = verdict == "inconclusive"
    return Decision(
        verdict=verdict,
        p_ai=p_ai,
        confidence=confidence,
        predicted_source=None if withheld else source,
        is_ai_generated=None if withheld else is_ai,
        per_class_probs=table,
        p_generator_given_ai={name: p / total for name, p in generators.items()} if total > 0 else None,
        label_set=_label_set(prediction, table),
        novelty=novelty,
        stability=stability,
        reasons=reasons,
    )


def p_ai_of(prediction: Prediction) -> float:
    """Return the probability that a generator made the image: what `real` leaves. Raises `InferenceFailed` like `decide`."""
    return min(1.0, max(0.0, 1.0 - _table(prediction)[REAL]))


def stability_of(
    prediction: Prediction, views: Sequence[Prediction], *, min_confidence: float | None = None
) -> Stability | None:
    """Hold an image against its re-shipped views; a flip is a view that leans the other way, less sure is none.

    None without views, and where another model judged one of them: the model was exchanged in between, and a difference would say
    nothing about the image.
    """
    if not views or any(view.model.sha256 != prediction.model.sha256 for view in views):
        return None
    band = band_of(prediction.model, min_confidence)
    shipped = [p_ai_of(view) for view in views]
    leaning = band.leans_to_ai(p_ai_of(prediction))
    return Stability(
        views=len(shipped),
        flips=sum(band.leans_to_ai(p_ai) != leaning for p_ai in shipped),
        p_ai_min=min(shipped),
        p_ai_max=max(shipped),
    )


def _table(prediction: Prediction) -> dict[str, float]:
    if not np.isfinite(prediction.probs).all():
        raise InferenceFailed("the model gave no probabilities", why="one of them is not a finite number")
    return {name: float(p) for name, p in zip(prediction.model.classes, prediction.probs, strict=True)}


def _novelty(prediction: Prediction) -> Novelty | None:
    rules = prediction.model.abstention
    if prediction.novelty is None or rules is None or rules.novelty is None:
        return None
    if not np.isfinite(prediction.novelty):
        raise InferenceFailed("the model gave no score of novelty", why="it is not a finite number")
    rule, is_novel = rules.novelty, prediction.novelty > rules.novelty.threshold
    placed = is_novel and prediction.place is not None and np.isfinite(prediction.place).all()
    return Novelty(
        score=prediction.novelty,
        threshold=rule.threshold,
        method=rule.method,
        nearest=prediction.nearest if is_novel else None,
        embedding=packed(prediction.place) if placed and prediction.place is not None else None,
    )


def _label_set(prediction: Prediction, table: dict[str, float]) -> LabelSet | None:
    """Every class that is likely enough, likeliest first; never none: the top class where none is."""
    rules = prediction.model.abstention
    if rules is None or rules.conformal is None:
        return None
    ranked = sorted(table, key=table.__getitem__, reverse=True)
    likely = [name for name in ranked if table[name] >= rules.conformal.least_probability]
    return LabelSet(coverage=rules.conformal.coverage, labels=tuple(likely or ranked[:1]))
