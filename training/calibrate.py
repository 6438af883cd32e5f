"""Temperature scaling: one divisor of the logits a branch, fitted where the images look like production."""

import numpy as np

from model.config import Temperatures
from training.metrics import Ints, nll
from training.scores import Rows, Scored

_LOG_RANGE = (-3.0, 3.0)  # of the natural logarithm: 0.05 to 20
_GOLDEN = (5**0.5 - 1) / 2


def fit_temperature(rows: Rows, labels: Ints) -> float:
    """Return the temperature with the least NLL of the averaged probabilities, by golden section on its logarithm.

    A result at the end of the range (0.05 or 20) means that the logits carry no usable confidence.
    """
    low, high = _LOG_RANGE

    def loss(log_temperature: float) -> float:
        return nll(rows.probs(float(np.exp(log_temperature))), labels)

    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-3:  # noqa: PLR2004 - a thousandth of T
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return float(np.exp((low + high) / 2))


def calibrate(calibration: Scored) -> Temperatures:
    """Fit every temperature on a calibration split; never on test images."""
    return Temperatures(
        **{branch: round(fit_temperature(rows, calibration.labels), 4) for branch, rows in calibration.branches.items()}
    )
