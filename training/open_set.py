"""Fits what `model.open_set` scores with, on the training images as they lie there and as they arrive."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from model.abstention import NoveltyRule
from model.embedding import signs
from model.network import Ensemble
from model.open_set import METHOD, Landmarks, OpenSet, constant
from schemas.errors import UsageError
from training.metrics import Floats
from training.scores import Answers
from training.thresholds import upper_quantile

LEAST_IMAGES: Final = 10
"""Of a class, under each condition: a covariance from fewer is mostly the shrinkage."""

_FLOOR: Final = 1e-6  # of the largest variance: logits that never move apart would make any distance infinite


def fit_open_set(parts: Sequence[Answers]) -> OpenSet:
    """Fit one Gaussian for each class in each of `parts`, the answers to training images under one condition each.

    Every crop is a row, and all Gaussians weigh the same. Raises `UsageError` where a class has fewer than `LEAST_IMAGES` images.
    """
    means: list[Floats] = []
    whitening: list[Floats] = []
    offsets: list[float] = []
    weight = 1 / (len(parts) * len(parts[0].classes))
    for part in parts:
        rows, labels = part.branches["fused"], part.labels
        for label, name in enumerate(part.classes):
            count = int((labels == label).sum())
            if count < LEAST_IMAGES:
                raise UsageError(
                    f"{count} training images of {name} are too few for an open-set score",
                    why=f"its spread is estimated from at least {LEAST_IMAGES}",
                    remedy="Give the split `train` more images of it.",
                )
            own = rows.logits[labels[rows.image_of] == label]
            mean = own.mean(axis=0)
            values, vectors = _spread(own - mean)
            means.append(mean)
            whitening.append(vectors / np.sqrt(values))
            offsets.append(constant(float(np.log(values).sum()), len(part.classes), weight))
    return OpenSet(
        torch.from_numpy(np.stack(means)).float(),
        torch.from_numpy(np.stack(whitening)).float(),
        torch.tensor(offsets, dtype=torch.float32),
    )


@torch.inference_mode()
def fit_landmarks(network: Ensemble, parts: Sequence[Answers]) -> Landmarks:
    """Fit what places novel images (`model.embedding`) on the same answers, which must hold their joint features: one row an image.

    The whitening is by the covariance that the classes share, each about its own mean.
    """
    rows, labels = [], np.concatenate([part.labels for part in parts])
    for part in parts:
        assert part.joint is not None, "landmarks are fitted on the features that enter the head"
        rows.append(part.branches["fused"].mean(network.hidden(torch.from_numpy(part.joint)).double().numpy()))
    features = np.concatenate(rows)
    centred = features.copy()
    for label in np.unique(labels):
        centred[labels == label] -= features[labels == label].mean(axis=0)
    values, vectors = _spread(centred)
    axes = vectors / np.sqrt(values) @ signs(features.shape[1])
    return Landmarks(torch.from_numpy(features.mean(axis=0)).float(), torch.from_numpy(axes).float())


def novelty_rule(novelty: Floats, false_rejection_rate: float) -> NoveltyRule:
    """Put the threshold where at most the asked share of the next images of known classes lies over it.

    Raises `UsageError` where there are too few images for so low a rate.
    """
    return NoveltyRule(
        method=METHOD,
        threshold=upper_quantile(novelty, false_rejection_rate, what="a false-rejection rate"),
        false_rejection_rate=false_rejection_rate,
        images=len(novelty),
    )


def shrunk_covariance(centred: Floats) -> Floats:
    """Covariance of rows whose mean is zero, drawn towards a multiple of the identity as far as they are few (Ledoit and Wolf 2004)."""
    count, width = centred.shape
    sample = centred.T @ centred / count
    scale = np.trace(sample) / width
    distance = float(np.square(sample - scale * np.eye(width)).sum())
    noise = float((np.square(centred).sum(axis=1) ** 2).sum() / count**2 - np.square(sample).sum() / count)
    share = min(1.0, max(0.0, noise / distance)) if distance > 0 else 1.0
    return np.asarray((1 - share) * sample + share * scale * np.eye(width))


def _spread(centred: Floats) -> tuple[Floats, Floats]:
    """Variances, none of them zero, and directions of rows whose mean is zero."""
    values, vectors = np.linalg.eigh(shrunk_covariance(centred))
    return np.maximum(values, _FLOOR * values[-1] + np.finfo(np.float32).tiny), vectors
