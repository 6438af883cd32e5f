"""Whether a window's answers can come from the corrected mix of the known classes: the guard of the correction.

Under label shift the cells of the answers (model/answer_cells.py) are filled like the classes' rows of the calibration profile, mixed with the
corrected shares. A generator that nobody knows, other delivery, or probabilities that are not calibrated fill them otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.answer_cells import novel_cells
from schemas.window import GoodnessOfFit
from streams.drift.chi_square import chi_square_p
from streams.drift.mixing import Floats

Counts = NDArray[np.int64]

MIN_COUNT: Final = 5
"""Cells are pooled until the mix, and the profile, put so many images into each."""
SIGNIFICANT: Final = 1e-3
MIN_EFFECT: Final = 0.03
"""The part of the images that must lie in other cells than the mix would put them, noise taken off: with enough images the smallest flaw is significant."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One model's answers against its profile: `observed` images by cell [cells], and `profile` images by true class and cell [classes, cells]."""

    observed: Counts
    profile: Counts


@dataclass(frozen=True, slots=True)
class Fit:
    """The test over all models, and the part of the images that lies in other cells than the mix says."""

    test: GoodnessOfFit
    effect: float

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the mix."""
        return self.test.p_value >= SIGNIFICANT or self.effect < MIN_EFFECT


def goodness(compared: Sequence[Compared], shares: Floats) -> Fit | None:
    """Return the fit of all models' answers to the mix of `shares` [classes]; None where too few images leave nothing to compare.

    Pearson's chi-square, with the sampling noise of the profile added to that of the window, since a row of a profile is from some hundred
    images. The shares were estimated on the same answers, which makes the statistic smaller than the distribution used here (Chernoff and
    Lehmann 1954, Annals of Mathematical Statistics 25(3)): the test errs to the side of accepting.
    """
    statistic, degrees, displaced, images = 0.0, 0, 0.0, 0
    for one in compared:
        pooled = _pooled(one, shares)
        if pooled is None:
            continue
        off = pooled.observed - pooled.expected
        statistic += float(off[:-1] @ np.linalg.solve(pooled.noise[:-1, :-1], off[:-1]))
        degrees += len(off) - 1
        displaced += float(np.sqrt(np.maximum(0, off * off - np.diag(pooled.noise))).sum()) / 2
        images += int(pooled.observed.sum())
    if degrees == 0:
        return None
    test = GoodnessOfFit(
        statistic=round(statistic, 4), degrees=degrees, p_value=float(f"{chi_square_p(statistic, degrees):.4g}")
    )
    return Fit(test, displaced / images)


class _Pooled(NamedTuple):
    """Images by pooled cell: seen [k], in the mix [k], and the covariance of their difference [k, k]."""

    observed: Floats
    expected: Floats
    noise: Floats


def _pooled(one: Compared, shares: Floats) -> _Pooled | None:
    """Return what is to be compared, the smallest cells as one; None where that leaves a single cell."""
    n = int(one.observed.sum())
    sizes = one.profile.sum(axis=1)[:, None] + 1
    # one image more a class, spread over all cells: what a few hundred images never did may happen all the same
    rows = (one.profile + 1 / one.profile.shape[1]) / sizes
    weights = (shares * shares)[:, None]
    expected = n * (shares @ rows)
    # of a count x the variance is x + 0.5, the posterior's under the Jeffreys prior: a cell that a row has never seen is not known to be empty
    row_noise = n * n * (weights * (one.profile + 0.5) / (sizes * sizes)).sum(axis=0)
    groups = _groups(expected, row_noise)
    if len(groups) < 2:  # noqa: PLR2004  # one cell holds everything
        return None
    pool = np.zeros((len(groups), len(expected)))
    for at, cells in enumerate(groups):
        pool[at, cells] = 1
    observed, expected, rows = pool @ one.observed, pool @ expected, rows @ pool.T
    mean = (observed + expected) / 2
    noise = np.diag(mean + pool @ row_noise) - np.outer(mean, mean) / n - n * n * ((rows * weights / sizes).T @ rows)
    return _Pooled(observed, expected, noise)


def _groups(expected: Floats, row_noise: Floats) -> list[list[int]]:
    """Return the cells to be compared, each by itself where it holds enough; the others are one group of novel answers and one of the rest."""

    def known(cells: list[int]) -> float:
        """Images that the mix puts here, or that the profile's estimate of it is worth, whichever are fewer."""
        mixed = float(expected[cells].sum())
        return min(mixed, mixed * mixed / float(row_noise[cells].sum()))

    groups: list[list[int]] = []
    for novel in (False, True):
        singles = sorted(
            np.flatnonzero(novel_cells(len(expected)) == novel).tolist(), key=lambda cell: known([cell]), reverse=True
        )
        rest: list[int] = []
        while singles and (known([singles[-1]]) < MIN_COUNT or (rest and known(rest) < MIN_COUNT)):
            rest.append(singles.pop())
        groups += [[cell] for cell in singles] + ([rest] if rest else [])
    small = [cells for cells in groups if known(cells) < MIN_COUNT]
    if small and len(groups) > 1:  # too few novel answers, or too few others, for a group of their own
        large = sorted((cells for cells in groups if known(cells) >= MIN_COUNT), key=known, reverse=True)
        groups = [*large[:-1], sum(small, large[-1] if large else [])]
    return groups
