"""The figures of a classifier, each with what it needs to be read honestly."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def accuracy(probs: Floats, labels: Ints) -> float:
    """Share of images whose likeliest class is right; equals balanced accuracy where classes are equally many."""
    return float((probs.argmax(axis=1) == labels).mean())


def balanced_accuracy(probs: Floats, labels: Ints) -> float:
    """Mean over the classes present of the share that is right."""
    right = probs.argmax(axis=1) == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def nll(probs: Floats, labels: Ints) -> float:
    """Mean negative log-likelihood in nats."""
    return float(-np.log(np.clip(probs[np.arange(len(labels)), labels], 1e-12, 1)).mean())


def brier(probs: Floats, labels: Ints) -> float:
    """Mean squared distance of the probabilities from the truth, summed over classes: 0 is best, 2 worst."""
    return float(np.square(probs - np.eye(probs.shape[1])[labels]).sum(axis=1).mean())


def ece(probs: Floats, labels: Ints, bins: int = 15) -> float:
    """Expected calibration error of the top class over bins of equal mass."""
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(len(part) * abs(confidence[part].mean() - right[part].mean()) for part in parts) / len(labels))


def auroc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores above a negative; ties count half. NaN when a side is empty."""
    up, down = scores[positive], np.sort(scores[~positive])
    if not len(up) or not len(down):
        return float("nan")
    below = np.searchsorted(down, up, side="left") + np.searchsorted(down, up, side="right")
    return float(below.mean() / (2 * len(down)))


def wilson(right: float, n: int) -> tuple[float, float]:
    """95 % interval of a share `right` of n independent trials."""
    z = 1.959964
    middle = (right + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(right * (1 - right) / n + z * z / (4 * n * n))
    return float(middle - half), float(middle + half)


def cluster_bootstrap(
    figure: Callable[[Ints], float], groups: NDArray[np.str_] | Ints, *, seed: int, rounds: int = 400
) -> tuple[float, float]:
    """95 % interval of `figure(rows)` when whole groups are drawn again; images of a group are not independent.

    Rounds in which the figure is undefined (a class is absent) are left out.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    values = [
        figure(np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))]))
        for _ in range(rounds)
    ]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
