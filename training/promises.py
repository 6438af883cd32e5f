"""What a promised rate looks like on a test set when it is kept: both the threshold and the test rest on few images."""

import math

import numpy as np

from training.intervals import Interval
from training.metrics import Floats


def kept_range(rate: float, calibration: int, test: int) -> Interval:
    """Return where 95 % of the shares over a threshold lie, of `test` new scores, when it was put by `calibration` scores for `rate`.

    The threshold is the ceil((n + 1)(1 - rate))-th of n scores, so the chance of a new one to exceed it has a beta distribution and the number
    of those that do a beta-binomial one (Vovk 2012). Scores must be exchangeable; where images of a unit stand or fall together, count units.
    """
    if test == 0:
        return Interval(0.0, 1.0)
    rank = min(calibration, math.ceil((calibration + 1) * (1 - rate) - 1e-9))
    chances = _beta_binomial(test, calibration + 1 - rank, max(1, rank)).cumsum()
    low, high = (int(np.searchsorted(chances, edge)) for edge in (0.025, 0.975))
    return Interval(low / test, min(high, test) / test)


def _beta_binomial(trials: int, alpha: float, beta: float) -> Floats:
    """Probability of 0 .. trials successes."""
    counts = np.arange(trials + 1)
    factorial = _log_gamma(np.arange(1, trials + 2))
    log = (
        factorial[-1]
        - factorial
        - factorial[::-1]
        + _log_gamma(counts + alpha)
        + _log_gamma(trials - counts + beta)
        - math.lgamma(trials + alpha + beta)
        + math.lgamma(alpha + beta)
        - math.lgamma(alpha)
        - math.lgamma(beta)
    )
    return np.asarray(np.exp(log))


def _log_gamma(values: "np.ndarray[tuple[int], np.dtype[np.generic]]") -> Floats:
    return np.array([math.lgamma(value) for value in values])
