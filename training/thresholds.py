"""Thresholds with a promise: the rate asked for holds for the next image, not only on the images the threshold was chosen on.

For n exchangeable calibration scores, the ceil((n + 1)(1 - a))-th smallest is exceeded by a new score with probability at most a (split
conformal prediction; Vovk et al. 2005). The plain quantile of n scores promises nothing of the sort.
"""

import math

import numpy as np

from model.abstention import DecisionRule
from schemas.errors import UsageError
from training.metrics import Bools, Floats


def upper_quantile(scores: Floats, rate: float, *, what: str) -> float:
    """Return the least calibration score that a new one exceeds with probability at most `rate`.

    Raises `UsageError` where so few scores cannot promise so low a rate: at least 1 / rate - 1 are needed.
    """
    rank = math.ceil((len(scores) + 1) * (1 - rate) - 1e-9)
    if rank > len(scores):
        raise UsageError(
            f"{len(scores)} images are too few for {what} of {rate:g}",
            why=f"such a rate can be promised from {math.ceil(1 / rate - 1 - 1e-9) if rate > 0 else 'infinitely many'} images on",
            remedy="Give the calibration split more images (`data.calibration_share`), or ask for a higher rate.",
        )
    return float(np.sort(scores)[max(rank, 1) - 1])


def decision_rule(
    p_ai: Floats, is_ai: Bools, *, false_positive_rate: float, false_negative_rate: float
) -> DecisionRule:
    """Choose the narrowest band of `inconclusive` that keeps both rates; where none is needed, one threshold halfway.

    No image is called what it probably is not: `ai_from` is at least a half and `real_to` at most, even where the rates would allow more.

    `is_ai` marks the generated images. Raises `UsageError` where one side has too few images for its rate, or
    so many images at the very end of the scale that no threshold is left.
    """
    real, generated = p_ai[~is_ai], p_ai[is_ai]
    highest_real = upper_quantile(real, false_positive_rate, what="a false-positive rate")
    lowest_generated = -upper_quantile(-generated, false_negative_rate, what="a false-negative rate")
    # The rule says `>=` and `<=`: one step beyond the scores themselves.
    ai_from = float(np.nextafter(highest_real, 2))
    real_to = float(np.nextafter(lowest_generated, -1))
    if ai_from > 1 or real_to < 0:
        raise UsageError(
            "no threshold keeps the rates that are asked for",
            why=f"more than {false_positive_rate:g} of the photographs have p_ai 1"
            if ai_from > 1
            else f"more than {false_negative_rate:g} of the generated images have p_ai 0",
            remedy="The checkpoint is sure of what is wrong: train it further, or look for wrong labels.",
        )
    if real_to >= ai_from:
        ai_from = real_to = (ai_from + real_to) / 2
    ai_from, real_to = max(ai_from, 0.5), min(real_to, 0.5)
    return DecisionRule(
        ai_from=ai_from,
        real_to=real_to,
        false_positive_rate=false_positive_rate,
        false_negative_rate=false_negative_rate,
        reals=len(real),
        generated=len(generated),
    )
