"""How far a figure may be from the truth, given how few images it rests on."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.metrics import Bools, Ints

Groups = NDArray[np.str_] | Ints
_Z = 1.959964  # of 95 %


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def wilson(right: float, n: int) -> Interval:
    """95 % interval of a share `right` of n independent trials; (0, 1) for none."""
    if n == 0:
        return Interval(0.0, 1.0)
    middle = (right + _Z * _Z / (2 * n)) / (1 + _Z * _Z / n)
    half = _Z / (1 + _Z * _Z / n) * np.sqrt(right * (1 - right) / n + _Z * _Z / (4 * n * n))
    return Interval(max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def cluster_bootstrap(
    figures: Callable[[Ints], Mapping[str, float]], groups: Groups, *, seed: int, rounds: int
) -> dict[str, Interval]:
    """95 % interval of each of `figures(rows)` when whole groups are drawn again; images of a group are not independent.

    Rounds in which a figure is undefined (a class is absent) are left out of its interval; undefined in all of them, it has none.
    """
    rng = np.random.default_rng(seed)
    _, group_of = np.unique(groups, return_inverse=True)
    order = np.argsort(group_of, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(group_of))[:-1])
    values: dict[str, list[float]] = {}
    for _ in range(rounds):
        drawn = figures(np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))]))
        for name, value in drawn.items():
            values.setdefault(name, []).append(value)
    edges = {name: [value for value in column if np.isfinite(value)] for name, column in values.items()}
    return {name: _percentiles(column) for name, column in edges.items() if column}


def share_bootstrap(hits: Bools, groups: Groups, *, seed: int, rounds: int) -> Interval | None:
    """95 % interval of a share when whole groups are drawn again, by their sums and so without touching the images; None for none."""
    if not len(hits):
        return None
    _, group_of = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group_of).astype(np.float64)
    sums = np.bincount(group_of, weights=hits)
    rng = np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(rounds):
        drawn = rng.integers(len(sizes), size=len(sizes))
        values.append(float(sums[drawn].sum() / sizes[drawn].sum()))
    return _percentiles(values)


def _percentiles(values: list[float]) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))
