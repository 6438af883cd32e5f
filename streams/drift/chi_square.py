"""The upper tail of the chi-square distribution, so that the worker does without scipy."""

import math


def chi_square_p(statistic: float, degrees: int) -> float:
    """Return the probability of at least `statistic` under chi-square with `degrees` of freedom, from 1 on.

    The regularised incomplete gamma function Q(degrees/2, statistic/2), which for whole degrees is a finite sum (Abramowitz and Stegun, 26.4.4 and 26.4.5).

    >>> round(chi_square_p(3.841459, 1), 6), round(chi_square_p(18.307038, 10), 6)
    (0.05, 0.05)
    """
    half = max(0.0, statistic) / 2
    if half == 0:
        return 1.0
    odd = degrees % 2
    head = math.erfc(math.sqrt(half)) if odd else 0.0
    powers = (step + odd / 2 for step in range(degrees // 2))
    return min(
        1.0, head + math.fsum(math.exp(power * math.log(half) - half - math.lgamma(power + 1)) for power in powers)
    )
