"""The learning rate of a step: a function of the step's number alone, so that a resumed training needs no state of it."""

import math
from typing import Final, Literal

Schedule = Literal["cosine", "one_cycle"]

_RISE_SHARE: Final = 0.3  # of one cycle; it and the two below are the defaults of torch's OneCycleLR
_START: Final = 1 / 25
_END: Final = 1 / 25e4


def rate(step: int, steps: int, peak: float, schedule: Schedule, warmup_share: float = 0.0) -> float:
    """Return the learning rate of `step` (from 0) of the `steps` of a phase.

    `cosine` climbs straight to `peak` over `warmup_share` of the steps and falls along a half cosine to nearly 0; `one_cycle` (Smith 2018)
    climbs for three tenths from a 25th of the peak and falls to a 250,000th, along half cosines.
    """
    if schedule == "one_cycle":
        top = max(1.0, _RISE_SHARE * steps - 1)
        if step <= top:
            return _between(_START * peak, peak, step / top)
        return _between(peak, _END * peak, (step - top) / max(1.0, steps - 1 - top))
    warmup = round(warmup_share * steps)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return _between(peak, 0.0, (step - warmup) / max(1, steps - warmup))


def _between(start: float, end: float, done: float) -> float:
    """Along half a cosine: `start` at 0, `end` at 1."""
    return end + (start - end) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
