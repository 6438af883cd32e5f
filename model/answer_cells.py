"""Which cell an answer falls into: likeliest class, how sure, and whether it was novel. Calibration and windows count by the same cells.

A change of the mix of classes moves counts between the rows of a calibration profile, never within a row. That is what makes cells a test: see
`streams/drift/goodness.py`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

CONFIDENCE_EDGES: Final = (0.9,)
"""Where the bins of the likeliest class's probability begin, after the first: sure and unsure. A profile has some hundred images a class to fill them,
and with more bins the test of the correction misses more (measured)."""

_BINS: Final = len(CONFIDENCE_EDGES) + 1


def cell_count(classes: int) -> int:
    """Return how many cells there are for a model of so many classes.

    >>> cell_count(5)
    20
    """
    return classes * _BINS * 2


def cells_of(probs: NDArray[np.floating], novel: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the cell of each of n answers, from `probs` [n, classes] and `novel` [n]; of equally likely classes the first counts.

    The cell is (likeliest class * bins + bin of its probability) * 2 + novel, below `cell_count(classes)`. `ValueError` where a probability is
    not a finite number, or the lengths differ.

    >>> cells_of(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([False, True]))
    array([2, 5])
    """
    if probs.ndim != 2 or novel.shape != probs.shape[:1]:  # noqa: PLR2004  # rows and columns
        raise ValueError(f"probs must be [n, classes] and novel [n], they are {probs.shape} and {novel.shape}")
    if not np.isfinite(probs).all():
        raise ValueError("a probability is not a finite number")
    likeliest = probs.argmax(axis=1)
    confidence = np.take_along_axis(probs, likeliest[:, None], axis=1)[:, 0]
    sure = np.searchsorted(CONFIDENCE_EDGES, confidence, side="right")
    return np.asarray((likeliest * _BINS + sure) * 2 + novel, dtype=np.int64)


def novel_cells(cells: int) -> NDArray[np.bool_]:
    """Return which of so many cells are of novel answers, [cells].

    >>> novel_cells(4)
    array([False,  True, False,  True])
    """
    return np.asarray(np.arange(cells) % 2 == 1)
