"""The check that keeps a simulated checkpoint honest: true images, listed in a manifest that the user has.

Nothing here is ever trained on. The figure to expect is chance.
"""

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.config import Temperatures
from model.network import Ensemble
from model.pixels import preprocess
from model.policy import DEFAULT_POLICY, PixelPolicy
from schemas.errors import ImageRejected
from training.audit import CANONICAL_QUALITY
from training.corpus.build import CLASSES
from training.corpus.files import jpeg
from training.corpus.laundering import decoded
from training.dataset import Batch, collate
from training.evaluate import BATCH_SIZE, Figures
from training.metrics import auroc, balanced_accuracy, cluster_bootstrap
from training.scores import score
from training.shots import Shot


@dataclass(frozen=True, slots=True)
class TrueImage:
    """One row of the manifest; images of one repository are one group."""

    path: Path
    label: str
    repository: str


def read_manifest(path: Path) -> list[TrueImage]:
    """Return the rows with role `pixel` and a class of ours. Columns: file, class, role, repo."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            TrueImage(path.parent / row["file"], row["class"], row["repo"])
            for row in csv.DictReader(file)
            if row["role"] == "pixel" and row["class"] in CLASSES
        ]


def true_image_figures(
    network: Ensemble,
    temperatures: Temperatures,
    images: list[TrueImage],
    *,
    seed: int,
    policy: PixelPolicy = DEFAULT_POLICY,
) -> Figures:
    """Judge true images after canonicalisation: native crops, every one written again as the same JPEG.

    An image the policy rejects is counted, not judged. Intervals draw whole repositories again.
    """
    kept: list[TrueImage] = []
    shots = list(_shots(images, kept, policy))
    scored = score(network, _batches(shots))
    probs = scored.branches["fused"].probs(temperatures.fused)
    labels, repositories = scored.labels, np.array([image.repository for image in kept])
    is_ai, p_ai = labels != CLASSES.index("real"), 1 - probs[:, CLASSES.index("real")]
    five = cluster_bootstrap(lambda rows: balanced_accuracy(probs[rows], labels[rows]), repositories, seed=seed)
    binary = cluster_bootstrap(lambda rows: auroc(p_ai[rows], is_ai[rows]), repositories, seed=seed)
    return {
        "n": len(kept),
        "n_by_class": {name: int((labels == number).sum()) for number, name in enumerate(CLASSES)},
        "repositories": len(set(repositories)),
        "rejected": len(images) - len(kept),
        "chance": {"five_class": 1 / len(CLASSES), "auroc": 0.5},
        "five_class_balanced_accuracy": round(balanced_accuracy(probs, labels), 2),
        "five_class_repository_bootstrap_95": [round(edge, 2) for edge in five],
        "real_vs_ai_auroc": round(auroc(p_ai, is_ai), 2),
        "real_vs_ai_auroc_repository_bootstrap_95": [round(edge, 2) for edge in binary],
    }


def _shots(images: list[TrueImage], kept: list[TrueImage], policy: PixelPolicy) -> Iterator[Shot]:
    for group, image in enumerate(images):
        data = image.path.read_bytes()
        try:
            pixels = preprocess(data, policy, seed=hashlib.sha256(data).digest())
        except ImageRejected:
            continue
        kept.append(image)
        crops = np.stack([decoded(jpeg(crop, CANONICAL_QUALITY)) for crop in pixels.crops])
        view = decoded(jpeg(pixels.view, CANONICAL_QUALITY))
        yield Shot(crops, view, CLASSES.index(image.label), group)


def _batches(shots: list[Shot]) -> Iterator[Batch]:
    return (collate(shots[start : start + BATCH_SIZE]) for start in range(0, len(shots), BATCH_SIZE))
