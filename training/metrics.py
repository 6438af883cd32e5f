"""The figures of a classifier on one set of images. Intervals stand in `training.intervals`, those of abstention in `training.selective`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BINS = 15  # of equal mass


def accuracy(probs: Floats, labels: Ints) -> float:
    """Share of images whose likeliest class is right; equals balanced accuracy where classes are equally many."""
    return float((probs.argmax(axis=1) == labels).mean())


def balanced_accuracy(probs: Floats, labels: Ints) -> float:
    """Mean over the classes present of the share that is right."""
    right = probs.argmax(axis=1) == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def confusion(predicted: Ints, labels: Ints, classes: int) -> Ints:
    """Counts [classes, classes] by true class (rows) and predicted class (columns)."""
    table = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return table.reshape(classes, classes).astype(np.int64)


def macro_f1(table: Ints) -> float:
    """Mean F1 of a confusion's classes that occur, as truth or as prediction; NaN for an empty table."""
    right, said, true = np.diag(table), table.sum(axis=0), table.sum(axis=1)
    seen = said + true > 0
    return float((2 * right[seen] / (said + true)[seen]).mean()) if seen.any() else float("nan")


def nll(probs: Floats, labels: Ints) -> float:
    """Mean negative log-likelihood in nats."""
    return float(-np.log(np.clip(probs[np.arange(len(labels)), labels], 1e-12, 1)).mean())


def brier(probs: Floats, labels: Ints) -> float:
    """Mean squared distance of the probabilities from the truth, summed over classes: 0 is best, 2 worst."""
    return float(np.square(probs - np.eye(probs.shape[1])[labels]).sum(axis=1).mean())


class Bin(NamedTuple):
    """Images of like confidence: how sure the model was, and how often it was right."""

    n: int
    confidence: float
    accuracy: float


def reliability(confidence: Floats, right: Bools, bins: int = BINS) -> list[Bin]:
    """Bins of equal mass, from the least sure to the surest; fewer images than bins give one bin an image."""
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [Bin(len(part), float(confidence[part].mean()), float(right[part].mean())) for part in parts]


def ece(probs: Floats, labels: Ints, bins: int = BINS) -> float:
    """Expected calibration error of the top class over bins of equal mass."""
    return _gap(reliability(probs.max(axis=1), probs.argmax(axis=1) == labels, bins))


def classwise_ece(probs: Floats, labels: Ints, bins: int = BINS) -> float:
    """Mean over the classes of the calibration error of each class's own probability (Kull et al. 2019)."""
    gaps = [_gap(reliability(probs[:, label], labels == label, bins)) for label in range(probs.shape[1])]
    return float(np.mean(gaps))


def auroc(scores: Floats, positive: Bools) -> float:
    """Chance that a positive scores above a negative; ties count half. NaN when a side is empty."""
    up, down = scores[positive], np.sort(scores[~positive])
    if not len(up) or not len(down):
        return float("nan")
    below = np.searchsorted(down, up, side="left") + np.searchsorted(down, up, side="right")
    return float(below.mean() / (2 * len(down)))


def roc(scores: Floats, positive: Bools) -> tuple[Floats, Floats]:
    """False and true positive rates of every threshold, from (0, 0) to (1, 1); empty where a side is empty."""
    if positive.all() or not positive.any():
        return np.empty(0), np.empty(0)
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # ties share one threshold
    true = np.concatenate([[0.0], hits[ends] / hits[-1]])
    false = np.concatenate([[0.0], (ends + 1 - hits[ends]) / (len(scores) - hits[-1])])
    return false, true


def tpr_at_fpr(scores: Floats, positive: Bools, rate: float) -> float:
    """Largest share of positives over a threshold that at most `rate` of the negatives reach. NaN when a side is empty.

    With fewer than 1 / `rate` negatives none may reach it: the set is too small to resolve the rate.
    """
    false, true = roc(scores, positive)
    return float(true[false <= rate + 1e-12].max()) if len(true) else float("nan")


def precision_at(prevalence: float, true_positive_rate: float, false_positive_rate: float) -> float:
    """Share of what is called AI that is AI, where `prevalence` of all images are. NaN where nothing is called AI."""
    hits = prevalence * true_positive_rate
    called = hits + (1 - prevalence) * false_positive_rate
    return hits / called if called > 0 else float("nan")


def _gap(bins: list[Bin]) -> float:
    total = sum(part.n for part in bins)
    return float(sum(part.n * abs(part.confidence - part.accuracy) for part in bins) / total) if total else float("nan")
