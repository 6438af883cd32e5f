"""The shortcut audit: can a lookup that never looks at content tell the class? Then no later figure means anything.

It is run on files as found, where it should succeed (so that a reader sees how easily they give themselves away), and on
canonical crops, where it must stay within five points of chance.
"""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from schemas.errors import CheckFailed
from training.corpus.build import Example, Map, simulate
from training.corpus.files import Rgb, as_found, jpeg
from training.corpus.laundering import decoded
from training.corpus.seeds import stream

TOLERANCE = 0.05
CANONICAL_QUALITY = 90
CROP_PX = 224
NEIGHBOURS = 15


@dataclass(frozen=True, slots=True)
class File:
    """One labelled file; files of one group are never used to judge each other."""

    group: int
    label: str
    data: bytes


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Accuracy of each shortcut on held-out groups, beside chance."""

    accuracy: dict[str, float]
    chance: float
    n: int

    def worst(self) -> tuple[str, float]:
        """The shortcut that tells most, and how often it is right."""
        return max(self.accuracy.items(), key=lambda item: item[1])

    def require_chance(self) -> None:
        """Raise `CheckFailed` naming every shortcut that beats chance by more than five points."""
        if caught := {name: value for name, value in self.accuracy.items() if value > self.chance + TOLERANCE}:
            figures = ", ".join(f"{name} {value:.3f}" for name, value in caught.items())
            raise CheckFailed(
                "the corpus has a shortcut",
                why=f"{figures}, where chance is {self.chance:.3f} (n = {self.n})",
                remedy="Make the pipelines alike in that property; do not train on this corpus.",
            )


def canonical_crop(data: bytes) -> bytes:
    """Strip what is not pixels: decode, take the centre 224 x 224, write it as JPEG quality 90, 4:2:0, like every other."""
    return jpeg(_centre(decoded(data)), CANONICAL_QUALITY)


def audit(files: Sequence[File]) -> AuditReport:
    """Try every shortcut on the files, each time judging a group by all the others."""
    labels = np.array([file.label for file in files])
    groups = np.array([file.group for file in files])
    names = sorted(set(labels))
    facts = [_facts(file.data) for file in files]
    accuracy = {
        name: _lookup([fact[name] for fact in facts], labels, groups, names) for name in ("format", "size", "tables")
    }
    colour = np.array([_colour(file.data) for file in files])
    length = np.log([[len(file.data)] for file in files])
    accuracy["colour_contrast"] = _nearest(colour, labels, groups, names)
    accuracy["file_length"] = _nearest(length, labels, groups, names)
    return AuditReport(accuracy, 1 / len(names), len(files))


def audits(seed: int, examples: Sequence[Example], ordered_map: Map) -> tuple[AuditReport, AuditReport]:
    """Audit the scenes of `examples` as platforms would find them, and as canonical crops."""
    canonical = [
        File(example.scene, example.label, data)
        for example, data in zip(examples, ordered_map(canonical_crop, [e.data for e in examples]), strict=True)
    ]
    scenes = sorted({example.scene for example in examples})
    found = [file for files in ordered_map(partial(_as_found, seed=seed), scenes) for file in files]
    return audit(found), audit(canonical)


def _as_found(scene: int, *, seed: int) -> list[File]:
    return [
        File(scene, label, as_found(pixels, label, stream(seed, "found", scene, label)))
        for label, _, pixels in simulate(seed, scene)
    ]


def _centre(pixels: Rgb) -> Rgb:
    """Cut the centre; an image that is too small is mirrored at its edges first."""
    short = [max(0, CROP_PX - side) for side in pixels.shape[:2]]
    if any(short):
        pixels = np.pad(pixels, (*((lack // 2, lack - lack // 2) for lack in short), (0, 0)), mode="reflect")
    top, left = ((side - CROP_PX) // 2 for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + CROP_PX, left : left + CROP_PX])


def _facts(data: bytes) -> dict[str, str]:
    with Image.open(io.BytesIO(data)) as image:
        tables = getattr(image, "quantization", {})
        return {
            "format": str(image.format),
            "size": f"{image.width}x{image.height}",
            "tables": hashlib.sha256(repr(sorted(tables.items())).encode()).hexdigest(),
        }


def _colour(data: bytes) -> list[float]:
    """Mean and deviation of each channel."""
    pixels = decoded(data).reshape(-1, 3)
    return [*pixels.mean(axis=0), *pixels.std(axis=0)]


def _lookup(keys: Sequence[str], labels: np.ndarray, groups: np.ndarray, names: Sequence[str]) -> float:
    """Accuracy of the most frequent label among other groups' files with the same key."""
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    own: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for key, label, group in zip(keys, labels, groups, strict=True):
        seen[key][label] += 1
        own[key, group][label] += 1
    right = [
        _credit(seen[key] - own[key, group], label, names)
        for key, label, group in zip(keys, labels, groups, strict=True)
    ]
    return float(np.mean(right))


def _nearest(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, names: Sequence[str]) -> float:
    """Accuracy of the most frequent label among the nearest files of other groups."""
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    right = []
    for row, label, group in zip(scaled, labels, groups, strict=True):
        distance = np.square(scaled - row).sum(axis=1)
        distance[groups == group] = np.inf
        nearest = np.argsort(distance, kind="stable")[:NEIGHBOURS]
        right.append(_credit(Counter(labels[nearest]), label, names))
    return float(np.mean(right))


def _credit(votes: Counter[str], label: str, names: Iterable[str]) -> float:
    """1 for a right majority, a share of it in a tie; no votes at all is a tie of every class."""
    top = max(votes.values(), default=0)
    winners = [name for name in names if votes[name] == top]
    return (label in winners) / len(winners)
