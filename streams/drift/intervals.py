"""How sure corrected shares are: draws from their posterior, and 95 % intervals.

The prior is Jeffreys' for AI against real, Beta(0.5, 0.5), and for the generators among AI, Dirichlet(0.5): so the number of classes does not
decide how much AI is expected. The posterior is sampled by importance. Proposals, in log shares relative to the largest class, come half from a
t distribution around the mode (which knows how classes are confused) and half from independent log-gammas (which know how the posterior looks
where a class has next to no image). Likelihoods are exact, so a bad proposal costs precision, never truth.

Tried and left, on 300 windows each (coverage of 95 % intervals; docs/drift.md has that of this one). A bootstrap: a class of which the window
happens to hold no clear image has a share of 0 in nearly every resample; at 300 images with 0.5 % of each generator it covered 72 to 77 %, and at
1,024 it cost three times as much. Observed information with negative shares cut off: cheapest, but half as wide again, and 47 % for AI with
twelve classes. Dirichlet(0.5) over all classes alike: 50 % for AI with twelve.
"""

from math import lgamma, log, pi
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.drift.mixing import Floats, log_likelihood

ROUND: Final = 512
MAX_ROUNDS: Final = 4
ENOUGH: Final = 128
"""Effective draws that are enough; fewer, and another round is drawn. After the last of them, under `LEAST`, the (wider) proposals stand in."""
LEAST: Final = 24

_JEFFREYS: Final = 0.5
_FREEDOM: Final = 5.0  # of the t distribution: heavier tails than any posterior here
_CHUNK: Final = 16  # likelihoods multiplied before a logarithm is taken: at least 1e-14 each, so no product underflows
_TINY: Final = 1e-14
_HALF: Final = log(0.5)

CRITICAL: Final = 3.8415
"""Twice the loss of likelihood that a 95 % interval allows (chi-square, one degree)."""


class _Mode(NamedTuple):
    """Where the posterior in log shares is highest: relative to class `last`, over the `others`."""

    last: int
    others: NDArray[np.intp]
    centre: Floats
    axes: Floats
    """Columns are the principal axes of the curvature."""
    curvature: Floats
    """Along these axes."""
    shapes: Floats
    """Of the gamma that each share of the others resembles by itself."""


def posterior_draws(ratios: Floats, shares: Floats, real: int, rng: np.random.Generator) -> Floats:
    """Return `ROUND` draws [ROUND, classes] from the posterior of the shares; `shares` are the most likely ones, `real` the class that is no AI.

    Each row sums to 1. Where importance sampling fails, the draws are of the proposal, which is wider than the posterior.
    """
    mode = _mode(ratios, shares, real)
    drawn, logs = [], []
    for _ in range(MAX_ROUNDS):
        proposed = _propose(mode, rng)
        rows, weights = _weigh(ratios, mode, proposed, real)
        drawn.append(rows)
        logs.append(weights)
        together = np.concatenate(logs)
        chances = np.exp(together - together.max())
        chances /= chances.sum()
        effective = 1 / (chances @ chances)
        if effective >= ENOUGH:
            break
    if effective < LEAST:
        return drawn[0]
    at = (rng.random() + np.arange(ROUND)) / ROUND  # systematic resampling: the least noise that resampling can add
    return np.concatenate(drawn)[np.minimum(np.searchsorted(np.cumsum(chances), at), len(chances) - 1)]


def may_be_absent(ratios: Floats, shares: Floats, steps: int = 10) -> NDArray[np.bool_]:
    """Whether each class could have a share of 0, by the likelihood ratio at 95 %, [classes].

    The posterior of a share never touches 0, so its interval would deny even a class that is not there. The rest of the shares are refitted by some steps
    of EM; stopping early only makes absence a little harder to believe.
    """
    classes = len(shares)
    without = np.tile(np.maximum(shares, 1e-9), (classes, 1))
    np.fill_diagonal(without, 0)
    without /= without.sum(axis=1, keepdims=True)
    for _ in range(steps):
        without *= (1 / (ratios @ without.T)).T @ ratios / len(ratios)
    lost = log_likelihood(ratios, shares) - np.log(ratios @ without.T).sum(axis=0)
    return np.asarray(2 * lost < CRITICAL)


def _log_prior(logs: Floats, real: int) -> Floats:
    """Log density of shares [..., classes] given as logarithms, in the coordinates of log shares, up to a constant."""
    generators = logs.shape[-1] - 1
    ai = np.log(-np.expm1(np.minimum(logs[..., real], -_TINY)))
    return np.asarray(_JEFFREYS * logs.sum(axis=-1) + _JEFFREYS * (1 - generators) * ai)


def _mode(ratios: Floats, shares: Floats, real: int) -> _Mode:
    images, classes = ratios.shape
    generators = classes - 1
    is_ai = np.arange(classes) != real
    at = np.maximum(shares, _JEFFREYS / images)
    at /= at.sum()
    for _ in range(8):  # EM with the prior's counts, from the most likely shares; the rest is for the weights to do
        counts = at * (ratios.T @ (1 / (ratios @ at)))
        ai = (counts[is_ai].sum() + _JEFFREYS) / (images + 2 * _JEFFREYS)
        within = (counts[is_ai] + _JEFFREYS) / (counts[is_ai].sum() + _JEFFREYS * generators)
        at = np.where(is_ai, 0, 1 - ai)
        at[is_ai] = ai * within
    belongs = ratios * at
    belongs /= belongs.sum(axis=1, keepdims=True)
    squares = belongs.T @ belongs
    among = np.where(is_ai, at, 0) / at[is_ai].sum()
    extra = _JEFFREYS * (generators - 1)
    prior_images = _JEFFREYS * classes - extra
    bend = (
        (images + prior_images) * (np.diag(at) - np.outer(at, at))
        - np.diag(belongs.sum(axis=0))
        + squares
        + extra * (np.diag(among) - np.outer(among, among))
    )
    last = int(at.argmax())
    others = np.flatnonzero(np.arange(classes) != last)
    curvature, axes = np.linalg.eigh(bend[np.ix_(others, others)])
    return _Mode(
        last=last,
        others=others,
        centre=np.log(at[others] / at[last]),
        axes=axes,
        curvature=np.maximum(curvature, _JEFFREYS / 2),
        shapes=_JEFFREYS + np.diag(squares)[others],
    )


def _propose(mode: _Mode, rng: np.random.Generator) -> Floats:
    """Draw log shares relative to class `last`, [ROUND, classes - 1], half from each kind."""
    half, wide = ROUND // 2, len(mode.centre)
    spread = np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, half))[:, None]
    around = mode.centre + (spread * rng.standard_normal((half, wide))) @ (mode.axes / np.sqrt(mode.curvature)).T
    gammas = np.maximum(rng.standard_gamma(mode.shapes, (half, wide)), np.finfo(float).tiny)
    return np.concatenate([around, mode.centre + np.log(gammas / mode.shapes)])


def _weigh(ratios: Floats, mode: _Mode, proposed: Floats, real: int) -> tuple[Floats, Floats]:
    """Return the proposals as shares [draws, classes], and the log of each one's weight: posterior over proposal."""
    logs = np.zeros((len(proposed), len(mode.others) + 1))
    logs[:, mode.others] = proposed
    logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)
    shares = np.maximum(np.exp(logs), _TINY)
    each = ratios @ shares.T
    full = len(each) // _CHUNK * _CHUNK
    likelihood = np.log(np.multiply.reduce(each[:full].reshape(_CHUNK, -1, len(shares)), axis=0)).sum(axis=0)
    likelihood += np.log(each[full:]).sum(axis=0)
    return shares, likelihood + _log_prior(logs, real) - _log_proposal(mode, proposed)


def _log_proposal(mode: _Mode, proposed: Floats) -> Floats:
    wide = len(mode.centre)
    along = (proposed - mode.centre) @ (mode.axes * np.sqrt(mode.curvature))
    around = (
        lgamma((_FREEDOM + wide) / 2)
        - lgamma(_FREEDOM / 2)
        - wide / 2 * log(_FREEDOM * pi)
        + np.log(mode.curvature).sum() / 2
        - (_FREEDOM + wide) / 2 * np.log1p((along * along).sum(axis=1) / _FREEDOM)
    )
    gamma_logs = proposed - mode.centre + np.log(mode.shapes)
    constants = sum(lgamma(shape) for shape in mode.shapes)
    gammas = (mode.shapes * gamma_logs - np.exp(np.minimum(gamma_logs, 700))).sum(axis=1) - constants
    return np.asarray(_HALF + np.logaddexp(around, gammas))
