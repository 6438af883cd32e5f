"""How far a window's class distribution is from the reference, by name, with intervals; in nats where nothing else is said.

KL(p || q) is the extra information needed to code draws from p with a code made for q. It is not symmetric, so both directions are
published: KL(current || reference) grows with a class that became frequent, KL(reference || current) with one that vanished.

Counts are smoothed by +0.5 a class (the Jeffreys prior), so that an empty class costs a finite and small amount. (Evidently's `kl_div` is
KL(reference || current), and puts 0.0001 in empty cells without renormalising.)
"""

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.window import Divergences, Estimate
from streams.drift.chi_square import chi_square_p
from streams.drift.prevalence import Corrected
from streams.drift.reference import Reference

JEFFREYS = 0.5
DRAWS = 512
UNSURPRISING = 0.05
DIGITS = 6

Floats = NDArray[np.float64]


def smoothed_shares(counts: Mapping[str, float], classes: Iterable[str]) -> dict[str, float]:
    """Return the share of each of `classes`, smoothed; they sum to 1. Counts of other classes are left out.

    >>> smoothed_shares({"flux": 3}, ["flux", "real"])
    {'flux': 0.875, 'real': 0.125}
    """
    weights = {name: counts.get(name, 0) + JEFFREYS for name in classes}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def kl_nats(p: Mapping[str, float], q: Mapping[str, float]) -> float:
    """Return KL(p || q) in nats, at least 0.

    `q` must give every class of `p` more than nothing; smoothing and the reference's floor see to it.

    >>> even, tilted = {"flux": 0.5, "real": 0.5}, {"flux": 0.9, "real": 0.1}
    >>> round(kl_nats(tilted, even), 4), round(kl_nats(even, tilted), 4)
    (0.3681, 0.5108)
    >>> kl_nats(even, even)
    0.0
    >>> current = smoothed_shares({"flux": 90, "real": 10}, even)
    >>> round(kl_nats(current, even), 4)
    0.3594

    Reference: Kullback, S. and Leibler, R. A. (1951). On information and sufficiency. Annals of Mathematical Statistics 22(1).
    """
    return max(0.0, math.fsum(share * math.log(share / q[name]) for name, share in p.items() if share > 0))


def js_distance(p: Mapping[str, float], q: Mapping[str, float]) -> float:
    """Return the Jensen-Shannon distance: the root of the divergence in nats, 0 to 0.8326, the same both ways.

    Both are over the same classes; a share of 0 is allowed.

    >>> round(js_distance({"flux": 1.0, "real": 0.0}, {"flux": 0.0, "real": 1.0}), 4)
    0.8326

    Reference: Endres, D. M. and Schindelin, J. E. (2003). A new metric for probability distributions. IEEE Transactions on Information Theory 49(7).
    """
    middle = {name: (share + q[name]) / 2 for name, share in p.items()}
    return math.sqrt((kl_nats(p, middle) + kl_nats(q, middle)) / 2)


def psi(p: Mapping[str, float], q: Mapping[str, float]) -> float:
    """Return the population stability index: KL(p || q) + KL(q || p), in nats. Neither may have a share of 0.

    >>> round(psi({"flux": 0.9, "real": 0.1}, {"flux": 0.5, "real": 0.5}), 4)
    0.8789
    """
    return kl_nats(p, q) + kl_nats(q, p)


def chi_square(counts: Mapping[str, int], reference: Mapping[str, float]) -> tuple[float, float]:
    """Return Pearson's statistic of the counts against fixed shares over the same classes, and its p-value.

    Counts of classes outside `reference` are left out; without any count it is (0, 1).

    >>> chi_square({"flux": 60, "real": 40}, {"flux": 0.5, "real": 0.5})[0]
    4.0
    >>> round(chi_square({"flux": 60, "real": 40}, {"flux": 0.5, "real": 0.5})[1], 4)
    0.0455
    """
    total = sum(counts.get(name, 0) for name in reference)
    if total == 0 or len(reference) < 2:  # noqa: PLR2004  # one class leaves nothing to compare
        return 0.0, 1.0
    statistic = math.fsum(
        (counts.get(name, 0) - total * share) ** 2 / (total * share) for name, share in reference.items()
    )
    return statistic, chi_square_p(statistic, len(reference) - 1)


def diverge(counts: Mapping[str, int], corrected: Corrected | None, reference: Reference, *, seed: int) -> Divergences:
    """Return how far a window is from `reference`: its corrected shares where they hold, else its raw counts.

    Corrected shares are compared with the reference's corrected ones. A reference from the settings has none: what ops wrote down are true shares.
    A stored one without was counted and never corrected, so it is compared with counts. Corrected shares are smoothed like counts, as shares of
    the images they rest on.

    The 95 % intervals are of the correction's draws; for raw counts, of draws from Dirichlet(counts + 0.5), the posterior under the Jeffreys
    prior. A distance drawn is never 0, so the lower end is 0 where the window leaves the reference itself possible: it is among the 95 % of
    draws nearest to their mean, or the chi-square of the counts does not reject it. The reference is taken as exact. The chi-square is on raw
    counts in any case. The same arguments give the same answer.
    """
    raw = reference.over(counts)
    statistic, p_value = chi_square(counts, raw)
    true = reference.corrected or (reference.shares if reference.version is None else None)
    if true and corrected is not None and corrected.draws is not None and corrected.correction.shares is not None:
        basis: Literal["corrected", "raw"] = "corrected"
        known = Reference(true).over(corrected.classes)
        images = corrected.correction.images
        weights: Mapping[str, float] = {
            name: images * share.value for name, share in corrected.correction.shares.items()
        }
        drawn = np.zeros((len(corrected.draws), len(known)))
        drawn[:, [list(known).index(name) for name in corrected.classes]] = corrected.draws
        draws = (images * drawn + JEFFREYS) / (images + JEFFREYS * len(known))
    else:
        basis, known, weights = "raw", raw, counts
        posterior = [counts.get(name, 0) + JEFFREYS for name in known]
        draws = np.random.default_rng(seed).dirichlet(posterior, DRAWS)
    current = smoothed_shares(weights, known)
    fixed = np.array(list(known.values()))
    middle = (draws + fixed) / 2
    forth, back = _kl(draws, fixed), _kl(fixed, draws)
    apart = np.sqrt(np.maximum(0, _kl(draws, middle) + _kl(fixed, middle)) / 2)
    same = _is_among(fixed, draws) or (basis == "raw" and p_value >= UNSURPRISING)
    return Divergences(
        basis=basis,
        reference_version=reference.version,
        kl_current_reference_nats=_estimate(kl_nats(current, known), forth, may_be_none=same),
        kl_reference_current_nats=_estimate(kl_nats(known, current), back, may_be_none=same),
        js_distance=_estimate(js_distance(current, known), apart, may_be_none=same),
        psi=_estimate(psi(current, known), forth + back, may_be_none=same),
        chi_square=round(statistic, DIGITS),
        chi_square_p=p_value,
    )


def _is_among(fixed: Floats, draws: Floats) -> bool:
    """Whether `fixed` [k] is within the 95 % of `draws` [B, k] that are nearest to their mean."""
    centre = draws.mean(axis=0)
    return bool(_kl(fixed, centre) <= np.quantile(_kl(draws, centre), 0.95))


def _kl(p: Floats, q: Floats) -> Floats:
    """KL(p || q) of each row, in nats; shares are over the last axis."""
    return np.asarray((p * np.log(p / q)).sum(axis=-1))


def _estimate(value: float, drawn: Floats, *, may_be_none: bool) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(
        value=round(value, DIGITS),
        low=0.0 if may_be_none else round(min(value, max(0.0, float(low))), DIGITS),
        high=round(max(value, float(high)), DIGITS),
    )
