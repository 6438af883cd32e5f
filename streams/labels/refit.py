"""One temperature and a shift of `real`, fitted to logged probabilities: what a new calibration could gain, without an image being judged again.

The logits of a calibrated answer are the logarithms of its probabilities, up to a constant that softmax takes out again. So the refit is a
multinomial regression with two shared numbers: `p'_c` is in proportion to `p_c^(1/T) * exp(shift)` for `real` and to `p_c^(1/T)` for the
others. Its loss is convex in `1/T` and the shift, and Newton's method finds the one minimum (Guo et al., On calibration of modern neural
networks, 2017, for the temperature alone).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.labels.tally import Z95

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS: Final = 5
LEAST_A_SIDE: Final = 20
"""Photographs, and generated images: with fewer of either there is no telling a shift."""
COLDEST, HOTTEST, FARTHEST = 0.05, 20.0, 6.0
_STEPS: Final = 50
_HALVINGS: Final = 30
_SETTLED: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Refit:
    """A fit to all images, and its gain in nats an image on those of the folds it was not fitted on, with a 95 % interval."""

    images: int
    temperature: float
    """Times the present one: over 1 the model is surer than it is right."""
    real_logit_shift: float | None
    """None where it gains nothing, or too few images are of either side; it also moves with the share of photographs among what is labelled."""
    nll_before: float
    nll_after: float
    gain: float
    low: float
    high: float


def refit(probs: Floats, truth: Ints, fold: Ints, *, real: int) -> Refit:
    """Fit to `probs` [n, C], all over 0, whose true classes are `truth` [n]; `fold` [n] are numbers that part them (modulo 5).

    The shift is kept only where it gains, beyond chance, over the temperature alone.
    """
    logs = np.log(probs)
    nothing, unit = np.zeros(probs.shape[1]), np.eye(probs.shape[1])[real]
    before = losses(logs, truth, np.array([1.0, 0.0]), nothing)
    after = _held_out(logs, truth, fold, nothing)
    chosen = nothing
    if min((truth == real).sum(), (truth != real).sum()) >= LEAST_A_SIDE:
        shifted = _held_out(logs, truth, fold, unit)
        if _mean(after - shifted)[1] > 0:
            chosen, after = unit, shifted
    gain, low, high = _mean(before - after)
    inverse, shift = fitted(logs, truth, chosen)
    return Refit(
        images=len(truth),
        temperature=round(float(1 / inverse), 4),
        real_logit_shift=round(float(shift), 4) if chosen.any() else None,
        nll_before=round(float(before.mean()), 6),
        nll_after=round(float(after.mean()), 6),
        gain=round(gain, 6),
        low=round(low, 6),
        high=round(high, 6),
    )


def losses(logs: Floats, truth: Ints, numbers: Floats, unit: Floats) -> Floats:
    """Return the negative log likelihood [n] of each truth at `numbers`, the inverse temperature and the shift of `unit`."""
    logits = numbers[0] * logs + numbers[1] * unit
    top = logits.max(axis=1, keepdims=True)
    total: Floats = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    loss: Floats = total - logits[np.arange(len(truth)), truth]
    return loss


def fitted(logs: Floats, truth: Ints, unit: Floats) -> Floats:
    """Return the inverse temperature and the shift of least mean loss, within bounds; a shift of nothing (`unit` is 0) stays 0."""
    numbers = np.array([1.0, 0.0])
    if not len(truth):
        return numbers
    loss = float(losses(logs, truth, numbers, unit).mean())
    for _ in range(_STEPS):
        gradient, curvature = _slopes(logs, truth, numbers, unit)
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
        for _ in range(_HALVINGS):
            tried = np.clip(numbers - step, [1 / HOTTEST, -FARTHEST], [1 / COLDEST, FARTHEST])
            at_tried = float(losses(logs, truth, tried, unit).mean())
            if at_tried <= loss:
                break
            step = step / 2
        else:
            return numbers
        settled = loss - at_tried < _SETTLED
        numbers, loss = tried, at_tried
        if settled:
            break
    return numbers


def _held_out(logs: Floats, truth: Ints, fold: Ints, unit: Floats) -> Floats:
    """Return each image's loss [n] under the fit to the other folds."""
    after = np.empty(len(truth))
    for number in range(FOLDS):
        held_out = fold % FOLDS == number
        numbers = fitted(logs[~held_out], truth[~held_out], unit)
        after[held_out] = losses(logs[held_out], truth[held_out], numbers, unit)
    return after


def _mean(values: Floats) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval."""
    mean, half = float(values.mean()), Z95 * float(values.std(ddof=1)) / len(values) ** 0.5
    return mean, mean - half, mean + half


def _slopes(logs: Floats, truth: Ints, numbers: Floats, unit: Floats) -> tuple[Floats, Floats]:
    """Return gradient [2] and Hessian [2, 2] of the mean loss: means and covariances of the two features under the model."""
    logits = numbers[0] * logs + numbers[1] * unit
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    features = np.stack([logs, np.broadcast_to(unit, logs.shape)])  # [2, n, C]
    means = (features * probs).sum(axis=2)  # [2, n]
    gradient = (means - features[:, np.arange(len(truth)), truth]).mean(axis=1)
    second = np.einsum("inc,jnc,nc->ij", features, features, probs) / len(truth)
    return gradient, second - means @ means.T / len(truth)
