"""Temperature scaling: one divisor of the logits a branch, fitted where the images look like production; and a shift of `real`."""

from collections.abc import Callable
from typing import Final

import numpy as np

from model.config import Temperatures
from schemas.verdict import REAL
from training.metrics import Floats, Ints, nll
from training.scores import Answers, Rows

_LOG_TEMPERATURE: Final = (-3.0, 3.0)  # of the natural logarithm: 0.05 to 20
_SHIFT: Final = (-6.0, 6.0)
_GOLDEN: Final = (5**0.5 - 1) / 2
_TURNS: Final = 20  # of fitting one after the other; they settle in a few


def fit_temperature(rows: Rows, labels: Ints, shift: Floats | float = 0.0) -> float:
    """Return the temperature with the least NLL of the averaged probabilities.

    A result at the end of the range (0.05 or 20) means that the logits carry no usable confidence.
    """
    return float(np.exp(_minimum(lambda log: nll(rows.probs(float(np.exp(log)), shift), labels), *_LOG_TEMPERATURE)))


def fit_temperature_and_shift(rows: Rows, labels: Ints, real: int) -> tuple[float, float]:
    """Return the temperature and the shift of `real`'s logit (after the division) that together have the least NLL.

    The shift corrects a lean to `real` or from it (Your detector can secretly achieve SOTA, if calibrated, 2026), which a temperature
    cannot, and which shares corrected for prevalence are most sensitive to (Alexandari et al. 2020, "Maximum Likelihood with Bias-Corrected
    Calibration is Hard-To-Beat at Label Shift Adaptation"). It goes with the share of photographs in the calibration split: what
    the probabilities are for is that mix, which the checkpoint's profile states.
    """
    unit = np.zeros(rows.logits.shape[1])
    unit[real] = 1
    temperature, shift = fit_temperature(rows, labels), 0.0
    for _ in range(_TURNS):
        before = temperature, shift
        shift = _fit_shift(rows, labels, temperature, unit)
        temperature = fit_temperature(rows, labels, shift * unit)
        if np.allclose(before, (temperature, shift), atol=1e-3):
            break
    return temperature, shift


def fit_temperatures(calibration: Answers, *, real_logit_shift: bool) -> Temperatures:
    """Fit every temperature on a calibration split, and the shift where it is wanted; never on test images."""
    labels = calibration.labels
    alone = {name: rows for name, rows in calibration.branches.items() if name != "fused"}
    values = {name: round(fit_temperature(rows, labels), 4) for name, rows in alone.items()}
    fused, shift = fit_fused(calibration, real_logit_shift=real_logit_shift)
    return Temperatures(fused=fused, real_logit_shift=shift, **values)


def fit_fused(calibration: Answers, *, real_logit_shift: bool) -> tuple[float, float]:
    """Return the temperature of the ensemble and the shift of `real` (0 where none is wanted), with four digits."""
    rows, labels, shift = calibration.branches["fused"], calibration.labels, 0.0
    if real_logit_shift:
        fused, shift = fit_temperature_and_shift(rows, labels, calibration.classes.index(REAL))
    else:
        fused = fit_temperature(rows, labels)
    return round(fused, 4), round(shift, 4) + 0.0


def _fit_shift(rows: Rows, labels: Ints, temperature: float, unit: Floats) -> float:
    return _minimum(lambda value: nll(rows.probs(temperature, value * unit), labels), *_SHIFT)


def _minimum(loss: Callable[[float], float], low: float, high: float) -> float:
    """Golden section: the place of the least loss of one valley, to a thousandth."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > 1e-3:  # noqa: PLR2004 - a thousandth
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return (low + high) / 2
