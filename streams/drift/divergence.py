"""How far a window's class distribution is from the reference: the Kullback-Leibler divergence, in nats.

KL(p || q) is the extra information needed to code draws from p with a code made for q. It is not symmetric, so both directions are
published: KL(current || reference) grows with a class that became frequent, KL(reference || current) with one that vanished.

Counts are smoothed by +0.5 a class (the Jeffreys prior), so that an empty class costs a finite and small amount. (Evidently's `kl_div` is
KL(reference || current), and puts 0.0001 in empty cells without renormalising.)
"""

import math
from collections.abc import Iterable, Mapping

JEFFREYS = 0.5


def smoothed_shares(counts: Mapping[str, int], classes: Iterable[str]) -> dict[str, float]:
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
