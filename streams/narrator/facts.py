"""What of a verdict a language model may be told: numbers, and words of fixed lists.

A verdict carries what other people wrote: object keys, buckets, tenants, ids, labels. None of it is in here, so none of it can leave the house,
and nobody who names a file can talk to the model. Class names come from the checkpoint; one that does not look like a name goes by its number.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.narrative import EvidenceKind
from schemas.verdict import REASONS, UNKNOWN_GENERATOR, Verdict, VerdictName, is_simulated

FLAGS: Final = frozenset(
    "alpha_flattened animated blank cmyk exif_broken icc_converted icc_ignored low_res sixteen_bit".split()
)
BRANCHES: Final = frozenset({"cnn", "vit", "fft"})
KINDS: Final = frozenset({"trained", "demo_simulated", "fake"})
OTHER: Final = "other"
MAX_CLASSES: Final = 16
MAX_MEMBERS: Final = 8
MAX_COUNT: Final = 999
LARGEST: Final = 1e6

_CLASS_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is told (`values`, JSON-compatible), of which kinds it is, and every number in it."""

    verdict: VerdictName
    values: Mapping[str, Any]
    kinds: frozenset[EvidenceKind]
    numbers: frozenset[float]


def facts_of(verdict: Verdict) -> Facts:
    """Return what may be told of `verdict`. Every string in it is a constant of this module, a `Literal` of the schemas, or a class name."""
    names = _Names(verdict.model.classes)
    values: dict[str, Any] = {
        "verdict": verdict.verdict,
        "reasons": sorted(set(REASONS).intersection(verdict.reasons)),
        "model": {
            "kind": verdict.model.kind if verdict.model.kind in KINDS else OTHER,
            "trained_on_simulated_images": is_simulated(verdict.model.training_data),
        },
    }
    parts: dict[EvidenceKind, dict[str, Any]] = {
        "probability": _probabilities(verdict, names),
        "source": {} if verdict.predicted_source is None else {"source": names.of(verdict.predicted_source)},
        "members": _members(verdict, names),
        "novelty": _novelty(verdict),
        "stability": _stability(verdict),
        "label_set": _label_set(verdict, names),
        "heat_map": _heat_map(verdict, names),
        "image_flags": {"image_flags": flags} if (flags := sorted(FLAGS.intersection(verdict.flags))) else {},
    }
    for part in parts.values():
        values |= part
    kinds = {kind for kind, part in parts.items() if part}
    if values["model"]["trained_on_simulated_images"]:
        kinds.add("training_data")
    return Facts(verdict.verdict, values, frozenset(kinds), frozenset(_numbers(values)))


class _Names:
    """Class names as they are told."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._told = {
            name: name if _CLASS_NAME.fullmatch(name) else f"class_{number}" for number, name in enumerate(classes, 1)
        }

    def of(self, name: str) -> str:
        return UNKNOWN_GENERATOR if name == UNKNOWN_GENERATOR else self._told.get(name, OTHER)

    def known(self, names: Iterable[str]) -> list[str]:
        return [self._told[name] for name in names if name in self._told][:MAX_CLASSES]


def _probabilities(verdict: Verdict, names: _Names) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if verdict.p_ai is not None:
        found["p_ai"] = _number(verdict.p_ai)
    if verdict.confidence is not None:
        found["confidence_in_verdict"] = _number(verdict.confidence)
    probs = verdict.per_class_probs or {}
    if likeliest := names.known(sorted(probs, key=lambda name: -probs[name])):
        told = {names.of(name): _number(p) for name, p in probs.items()}
        found["class_probabilities"] = {name: told[name] for name in likeliest}
    return found


def _members(verdict: Verdict, names: _Names) -> dict[str, Any]:
    members = [
        {
            "branch": member.name if member.name in BRANCHES else OTHER,
            **({} if member.p_ai is None else {"p_ai": _number(member.p_ai)}),
            **({} if member.top is None else {"likeliest": names.of(member.top)}),
        }
        for member in verdict.members[:MAX_MEMBERS]
        if member.ok
    ]
    return {"branches": members} if members else {}


def _novelty(verdict: Verdict) -> dict[str, Any]:
    if (novelty := verdict.novelty) is None:
        return {}
    return {
        "distance_to_known_classes": {
            "score": _number(novelty.score),
            "threshold": _number(novelty.threshold),
            "over": novelty.score > novelty.threshold,
        }
    }


def _stability(verdict: Verdict) -> dict[str, Any]:
    if (stability := verdict.stability) is None:
        return {}
    return {
        "shipped_again": {
            "views": _count(stability.views),
            "lean_the_other_way": _count(stability.flips),
            "p_ai_min": _number(stability.p_ai_min),
            "p_ai_max": _number(stability.p_ai_max),
        }
    }


def _label_set(verdict: Verdict, names: _Names) -> dict[str, Any]:
    if (found := verdict.label_set) is None:
        return {}
    return {"label_set": {"coverage": _number(found.coverage), "classes": names.known(found.labels)}}


def _heat_map(verdict: Verdict, names: _Names) -> dict[str, Any]:
    explanation = verdict.explanation
    if explanation.status not in {"written", "withheld"}:
        return {}
    found: dict[str, Any] = {"status": explanation.status}
    if explanation.target_class is not None:
        found["class"] = names.of(explanation.target_class)
    if explanation.faithfulness is not None:
        found["faithfulness_over_chance"] = _number(explanation.faithfulness)
    return {"heat_map": found}


def _number(value: float) -> float:
    """Four digits are enough to tell, and bound the length; what is no number is 0."""
    return 0.0 if math.isnan(value) else float(f"{max(-LARGEST, min(value, LARGEST)):.4g}")


def _count(value: int) -> int:
    return max(0, min(value, MAX_COUNT))


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner)
