"""How a calibrated model answers on images of known classes, counted so that nothing is judged by rules that were fitted on it.

A drift window's answers are held against such a profile (`streams/drift/goodness.py`). A profile of the very images that temperatures and thresholds
were fitted on would be too good, and every honest window would look strange beside it.

There are two, both free of that. The checkpoint carries the cross-fitted one of the calibration split: each fold is counted under the temperature and
the threshold that the other folds give. The report card carries the one of the split `test`, judged by the checkpoint's own rules.
"""

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.answer_cells import cell_count, cells_of
from model.checkpoint_meta import CheckpointMeta
from model.config import Temperatures
from schemas.calibration import CalibrationProfile
from schemas.errors import UsageError
from training.metrics import Bools, Floats
from training.params import CalibrateParams
from training.scores import Answers
from training.temperature import fit_fused
from training.thresholds import upper_quantile

FOLDS: Final = 5


def cross_fitted_profile(calibration: Answers, calibration_id: str, params: CalibrateParams) -> CalibrationProfile:
    """Count a calibration split, each fold by what the other folds alone would have fitted; images of one unit are in one fold.

    The answers must carry a novelty, and every class must be there. Equal input gives an equal profile.
    """
    assert calibration.novelty is not None
    probs = np.empty((len(calibration.images), len(calibration.classes)))
    novel = np.empty(len(calibration.images), np.bool_)
    fold_of = _folds(calibration.units)
    for fold in range(FOLDS):
        held = fold_of == fold
        if not held.any():
            continue
        rest, own = calibration.where(~held), calibration.where(held)
        fused, shift = fit_fused(rest, real_logit_shift=params.real_logit_shift)
        probs[held] = own.probs(Temperatures(fused=fused, real_logit_shift=shift))
        assert rest.novelty is not None
        assert own.novelty is not None
        novel[held] = own.novelty > _threshold(rest.novelty, params.false_rejection_rate)
    return _profile(calibration, probs, novel, calibration_id=calibration_id, prior=prior_of(calibration))


def measured_profile(test: Answers, meta: CheckpointMeta) -> CalibrationProfile | None:
    """Count images that nothing was fitted on, by the rules of the checkpoint; the prior is the checkpoint's own.

    None where the checkpoint has no profile of its own (so its prior is not known) or no rule for novel images, where the images did not arrive as
    those that it was calibrated on, or where one of its classes is missing among them.
    """
    rules = meta.abstention
    if meta.profile is None or rules is None or rules.novelty is None or test.novelty is None:
        return None
    if test.condition != rules.fitted_on or len(np.unique(test.labels)) < len(test.classes):
        return None
    return _profile(
        test,
        test.probs(meta.temperatures),
        test.novelty > rules.novelty.threshold,
        calibration_id=meta.calibration_id,
        prior=meta.profile.prior,
    )


def prior_of(calibration: Answers) -> tuple[float, ...]:
    """Return the share of each class in what was calibrated on."""
    counts = np.bincount(calibration.labels, minlength=len(calibration.classes))
    return tuple(float(share) for share in counts / counts.sum())


def _profile(
    answers: Answers, probs: Floats, novel: Bools, *, calibration_id: str, prior: tuple[float, ...]
) -> CalibrationProfile:
    cells, width = cells_of(probs, novel), cell_count(len(answers.classes))
    counts = {
        name: tuple(int(count) for count in np.bincount(cells[answers.labels == label], minlength=width))
        for label, name in enumerate(answers.classes)
    }
    return CalibrationProfile(calibration_id=calibration_id, classes=answers.classes, prior=prior, cells=counts)


def _folds(units: NDArray[np.str_]) -> NDArray[np.int64]:
    """Number the fold of each image: units go round in the order of their hashes, so that folds are as even as units allow."""
    ranked = sorted(set(units.tolist()), key=lambda unit: hashlib.sha256(unit.encode()).digest())
    number = {unit: place % FOLDS for place, unit in enumerate(ranked)}
    return np.array([number[unit] for unit in units.tolist()], np.int64)


def _threshold(novelty: Floats, rate: float) -> float:
    """Return the threshold of novelty; where a fold less leaves too few images for the rate, the highest score, which is the nearest to it."""
    try:
        return upper_quantile(novelty, rate, what="a false-rejection rate")
    except UsageError:
        return float(novelty.max())
