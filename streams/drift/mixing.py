"""The shares that a mix of known classes must have, to give the answers that were seen: maximum likelihood by expectation maximisation.

A calibrated probability p(c|x) holds for the prior it was calibrated on. Under label shift (the mix of classes changes, not how each looks) the
likelihood of a class is p(c|x) / prior(c) up to a factor of the image's own, so the likelihood of shares w is the product over images of
sum_c w_c p(c|x) / prior(c). Its maximum is the fixed point of the EM of Saerens, Latinne and Decaestecker (2002), Adjusting the outputs of a classifier
to new a priori probabilities, Neural Computation 14(1); the steps are extrapolated by the SQUAREM scheme of Varadhan and Roland (2008), Scandinavian
Journal of Statistics 35(2), which has the same fixed points and needs a tenth of the steps.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.observations import UNIT
from streams.drift.answers import Answers

Floats = NDArray[np.float64]

FLOOR: Final = 0.5 / UNIT
"""Windows keep probabilities in whole steps; what became 0 was at most half a step."""

TOLERANCE: Final = 1e-5
"""Nats by which the likelihood of all images may fall short of its maximum: the shares are then within 0.005 of their standard errors."""
MAX_STEPS: Final = 5_000

_ALMOST_EM: Final = 1.01
_TINY: Final = 1e-150


def likelihoods(answers: Sequence[Answers]) -> Floats:
    """Return the likelihood of each class for each image, [n, classes], each row scaled so that its largest is 1.

    Rows are sorted, so that the order of the images changes nothing, not even a rounding. All answers must be of one class list.
    """
    ratios: Floats = np.concatenate([np.maximum(one.probs, FLOOR) / np.array(one.prior) for one in answers])
    ratios /= ratios.max(axis=1, keepdims=True)
    return np.asarray(ratios[np.lexsort(ratios.T)])


def log_likelihood(ratios: Floats, shares: Floats) -> float:
    """Return the log-likelihood of `shares` in nats, up to a constant of the images."""
    with np.errstate(divide="ignore"):
        return float(np.log(ratios @ shares).sum())


def most_likely_shares(ratios: Floats, start: Floats) -> Floats:
    """Return the shares of greatest likelihood, [classes], which sum to 1; `start` must give every class something.

    The likelihood is concave, so any start leads there. It ends when the duality gap, n max_c(g_c - 1) with g the gradient, is within `TOLERANCE`.
    """
    images = len(ratios)
    columns: Floats = np.ascontiguousarray(ratios.T)
    shares = start
    for _ in range(MAX_STEPS):
        gradient = columns @ (1 / (ratios @ shares)) / images
        if images * (gradient.max() - 1) <= TOLERANCE:
            break
        once = shares * gradient
        twice = once * (columns @ (1 / (ratios @ once))) / images
        shares = _extrapolated(ratios, shares, once, twice)
    return np.asarray(shares / shares.sum())


def _extrapolated(ratios: Floats, shares: Floats, once: Floats, twice: Floats) -> Floats:
    """Follow the two EM steps further than they went, where that stays among the shares and does not lose likelihood."""
    first = once - shares
    bend = twice - once - first
    stretch = float(np.linalg.norm(first)) / max(float(np.linalg.norm(bend)), _TINY)
    while stretch > _ALMOST_EM:
        further = shares + 2 * stretch * first + stretch * stretch * bend
        if (further > 0).all():
            further /= further.sum()
            return further if log_likelihood(ratios, further) >= log_likelihood(ratios, twice) else twice
        stretch = 1 + (stretch - 1) / 2
    return twice
