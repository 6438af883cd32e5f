"""Class shares of a window as they are, not as the argmax counts them: corrected for prevalence.

At a true AI share of 2 % a calibrated model that is right in 87 of 100 even-handed cases counts 14 % AI: one photograph in eight is taken for
something else. The corrected shares are those that make the answers most likely (`mixing.py`), with their uncertainty (`intervals.py`) and a test of
whether any mix of the known classes could give such answers (`goodness.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.answer_cells import cell_count, cells_of
from schemas.calibration import CalibrationProfile
from schemas.verdict import REAL
from schemas.window import Correction, Estimate
from streams.drift.answers import Answers
from streams.drift.goodness import MIN_EFFECT, SIGNIFICANT, Compared, Fit, goodness
from streams.drift.intervals import CRITICAL, may_be_absent, posterior_draws
from streams.drift.mixing import Floats, likelihoods, log_likelihood, most_likely_shares

DIGITS = 6
MIN_PROFILE_IMAGES = 100
"""Images of each class that a profile needs to vouch for a correction. A smaller one can still make it void."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """The correction of a window; `draws` [B, classes] are from the posterior of the shares, None where there are no shares."""

    correction: Correction
    classes: tuple[str, ...]
    draws: NDArray[np.float64] | None


def correct(
    answers: Sequence[Answers], profiles: Mapping[str, CalibrationProfile], *, min_images: int, seed: int
) -> Corrected:
    """Return the corrected shares of a window, tested where the profiles of its models are known; never raises over what is in the window.

    `ok`: every model's answers were tested, and nothing speaks against the shares. `unguarded`: a model has no profile that fits it, or a small
    one, so nothing vouches for all of them. `void`, without shares: the models have different classes, or no class `real`, or the answers do not fit the mix. The same images, in any
    order, and the same seed give the same answer.
    """
    answers = sorted((one for one in answers if len(one)), key=lambda one: (one.calibration_id, one.classes))
    images = sum(len(one) for one in answers)
    known = tuple(dict.fromkeys(one.calibration_id for one in answers))
    if images < max(1, min_images):
        return Corrected(Correction(status="too_few", images=images, calibration_ids=known), (), None)
    classes = answers[0].classes
    if reason := _unfit(answers):
        return _void(reason, images, known, None)
    ratios = likelihoods(answers)
    prior = np.average([one.prior for one in answers], axis=0, weights=[len(one) for one in answers])
    shares = most_likely_shares(ratios, prior)
    fit, untested = _tested(answers, profiles, shares)
    if fit is not None and not fit.holds:
        return _void(
            f"{fit.effect:.0%} of the images look like no mix of the known classes"
            f" (at least {MIN_EFFECT:.0%} and p below {SIGNIFICANT:g} make it void)",
            images,
            known,
            fit,
        )
    real = classes.index(REAL)
    draws = posterior_draws(ratios, shares, real, np.random.default_rng(seed))
    absent = may_be_absent(ratios, shares)
    alone = np.eye(len(classes))[real]
    no_ai = 2 * (log_likelihood(ratios, shares) - log_likelihood(ratios, alone)) < CRITICAL
    estimates = {name: _estimate(shares[at], draws[:, at], may_be_none=absent[at]) for at, name in enumerate(classes)}
    estimates[REAL] = estimates[REAL].model_copy(update={"high": 1.0 if no_ai else estimates[REAL].high})
    correction = Correction(
        status="unguarded" if untested else "ok",
        reason=untested,
        shares=estimates,
        ai=_rest(estimates[REAL]),
        images=images,
        goodness=fit.test if fit is not None else None,
        calibration_ids=known,
    )
    return Corrected(correction, classes, draws)


def _unfit(answers: Sequence[Answers]) -> str | None:
    """Why no shares can be estimated on these answers at all."""
    if len({one.classes for one in answers}) > 1:
        return "the models of this window have different classes"
    if REAL not in answers[0].classes or len(answers[0].classes) == 1:
        return f"the model has no class {REAL!r}, or no other"
    if any(min(one.prior) <= 0 for one in answers):
        return "the model's prior gives a class nothing"
    return None


def _void(reason: str, images: int, known: tuple[str, ...], fit: Fit | None) -> Corrected:
    return Corrected(
        Correction(
            status="void",
            reason=reason,
            images=images,
            goodness=fit.test if fit is not None else None,
            calibration_ids=known,
        ),
        (),
        None,
    )


def _tested(
    answers: Sequence[Answers], profiles: Mapping[str, CalibrationProfile], shares: Floats
) -> tuple[Fit | None, str | None]:
    """Return the fit over the models that can be tested, and why not all of them can."""
    compared, untested = [], None
    for one in answers:
        profile = profiles.get(one.calibration_id)
        cells = cell_count(len(one.classes))
        if profile is None:
            untested = f"no calibration profile of {one.calibration_id} is known"
        elif profile.classes != one.classes or any(len(profile.cells.get(name, ())) != cells for name in one.classes):
            untested = f"the calibration profile of {one.calibration_id} is of other classes or cells"
        else:
            rows = np.array([profile.cells[name] for name in one.classes], dtype=np.int64)
            if (fewest := int(rows.sum(axis=1).min())) < MIN_PROFILE_IMAGES:
                untested = (
                    f"the calibration profile of {one.calibration_id} has {fewest} images of a class:"
                    f" below {MIN_PROFILE_IMAGES} the test sees little"
                )
            compared.append(Compared(np.bincount(cells_of(one.probs, one.novel), minlength=cells), rows))
    fit = goodness(compared, shares)
    if fit is None and untested is None:
        untested = "too few images for the test"
    return fit, untested


def _estimate(value: float, drawn: Floats, *, may_be_none: bool) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(
        value=round(float(value), DIGITS),
        low=0.0 if may_be_none else round(float(min(low, value)), DIGITS),
        high=round(float(max(high, value)), DIGITS),
    )


def _rest(share: Estimate) -> Estimate:
    """What a share leaves."""
    return Estimate(
        value=round(1 - share.value, DIGITS), low=round(1 - share.high, DIGITS), high=round(1 - share.low, DIGITS)
    )
