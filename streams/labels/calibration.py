"""Whether a calibration still holds, by what reviewers said, and what a refit of its probabilities would gain. Pure; changes nothing.

A probability is calibrated when, of the images that get it, that share is right. That holds for labelled images too, as long as what was
picked for review follows from the verdict (all that was flagged, all that was unsure); where people complain about what is wrong, the labels
make any model look worse than it is. And it holds for the mix of classes that the calibration was fitted for: among photographs nearly alone a
model that is as good as ever is right less often than it says. The report says both, and shows the mix.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.label import Labelled
from schemas.verdict import REAL
from streams.labels.judging import Judged
from streams.labels.refit import Refit, refit
from streams.labels.tally import Rate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SEED: Final = 7
DRAWS: Final = 400
BIN_IMAGES: Final = 20
MOST_BINS: Final = 10
ROUNDED_TO_NONE: Final = 5e-7
"""Probabilities are written with six digits."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The labelled verdicts of one calibration.

    `confidence` [k] and `right` [k] are of the verdicts that say `ai_generated` or `real` and are known to be right or wrong in that; `probs`
    [n, C] and `truth` [n] of the images whose true class is one of the model's. `fold` [n] is a number that follows from the outcome's id.
    """

    classes: tuple[str, ...]
    prior_real: float
    """The share of photographs that the calibration was fitted for."""
    versions: tuple[str, ...]
    confidence: Floats
    right: Bools
    probs: Floats
    truth: NDArray[np.int64]
    fold: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the labels say of one calibration. With too few of them everything but the count is None."""

    calibration_id: str
    versions: tuple[str, ...]
    labelled: int
    mean_confidence: float | None = None
    accuracy: Rate | None = None
    ece: float | None = None
    ece_by_chance: float | None = None
    """What so many labels of a perfectly calibrated model come to at most, 19 times in 20."""
    holds: bool | None = None
    photographs: Rate | None = None
    """Among the images whose class is known."""
    photographs_before: float | None = None
    """The share of them that the calibration was fitted for."""
    refit: Refit | None = None

    @property
    def is_proposed(self) -> bool:
        """Whether a new calibration is proposed: it is better on images that it was not fitted on, by more than chance."""
        return self.refit is not None and self.refit.low > 0

    @property
    def has_another_mix(self) -> bool:
        """Whether the share of photographs among the labelled images is another one than the calibration was fitted for."""
        if self.photographs is None or self.photographs_before is None:
            return False
        return not self.photographs.low <= self.photographs_before <= self.photographs.high

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-compatible values, without what was not computed."""
        rates = {"accuracy": self.accuracy, "photographs": self.photographs}
        fields = asdict(self) | {name: rate.as_json() for name, rate in rates.items() if rate is not None}
        return {**{name: value for name, value in fields.items() if value is not None}, "proposed": self.is_proposed}


def samples(labelled: Iterable[tuple[Labelled, Judged]]) -> dict[str, Sample]:
    """Return the labelled verdicts by calibration; outcomes that are set aside are not among them."""
    found: dict[str, list[tuple[Labelled, Judged]]] = {}
    for one, judged in labelled:
        if judged.status == "counted":
            found.setdefault(one.calibration_id, []).append((one, judged))
    return {calibration_id: _sample(pairs) for calibration_id, pairs in found.items()}


def findings(by_calibration: Mapping[str, Sample], *, min_labels: int) -> list[Finding]:
    """Hold each calibration against its labels, the one with the most labels first."""
    by_size = sorted(by_calibration.items(), key=lambda item: (-len(item[1].right), item[0]))
    return [_finding(calibration_id, sample, min_labels) for calibration_id, sample in by_size]


def calibration_error(confidence: Floats, right: Bools) -> float:
    """Return the expected calibration error over bins of equal count (Naeini et al., Obtaining well calibrated probabilities, 2015).

    Of so few labels it is noise to some hundredths and never zero: hold it against `error_by_chance`.
    """
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, max(1, min(MOST_BINS, len(order) // BIN_IMAGES)))
    gaps = [len(rows) * abs(confidence[rows].mean() - right[rows].mean()) for rows in bins]
    return float(sum(gaps) / len(order))


def error_by_chance(confidence: Floats, *, seed: int = SEED, draws: int = DRAWS) -> float:
    """Return the 95 % quantile of that error for verdicts that are right exactly as often as they say."""
    rng = np.random.default_rng(seed)
    drawn = [calibration_error(confidence, rng.random(len(confidence)) < confidence) for _ in range(draws)]
    return float(np.quantile(drawn, 0.95))


def _finding(calibration_id: str, sample: Sample, min_labels: int) -> Finding:
    labelled = len(sample.right)
    if labelled < min_labels:
        return Finding(calibration_id, sample.versions, labelled)
    mean = float(sample.confidence.mean())
    accuracy = Rate.wilson(int(sample.right.sum()), labelled)
    error, by_chance = calibration_error(sample.confidence, sample.right), error_by_chance(sample.confidence)
    enough, real = len(sample.truth) >= min_labels, sample.classes.index(REAL)
    return Finding(
        calibration_id,
        sample.versions,
        labelled,
        mean_confidence=round(mean, 6),
        accuracy=accuracy,
        ece=round(error, 6),
        ece_by_chance=round(by_chance, 6),
        photographs=Rate.wilson(int((sample.truth == real).sum()), len(sample.truth)),
        photographs_before=round(sample.prior_real, 6),
        holds=accuracy.low <= mean <= accuracy.high and error <= by_chance,
        refit=refit(sample.probs, sample.truth, sample.fold, real=real) if enough else None,
    )


def _sample(pairs: list[tuple[Labelled, Judged]]) -> Sample:
    classes, prior = next(((one.classes, one.prior) for one, _ in pairs if REAL in one.classes), ((REAL,), None))
    if prior is None or len(prior) != len(classes):
        prior = (1 / len(classes),) * len(classes)
    said = [
        (one.confidence, judged.is_ai == (one.verdict == "ai_generated"))
        for one, judged in pairs
        if one.verdict in {"ai_generated", "real"} and one.confidence is not None and judged.is_ai is not None
    ]
    known = [
        (one.per_class_probs, classes.index(judged.truth), int(one.label.outcome_id[-8:], 16))
        for one, judged in pairs
        if one.per_class_probs is not None and one.per_class_probs.keys() == set(classes) and judged.truth in classes
    ]
    probs = np.array([[table[name] for name in classes] for table, _, _ in known], dtype=np.float64)
    probs = np.maximum(probs.reshape(len(known), len(classes)), ROUNDED_TO_NONE)
    return Sample(
        classes=classes,
        prior_real=prior[classes.index(REAL)],
        versions=tuple(sorted({one.model_version for one, _ in pairs})),
        confidence=np.array([confidence for confidence, _ in said], dtype=np.float64),
        right=np.array([right for _, right in said], dtype=np.bool_),
        probs=probs / probs.sum(axis=1, keepdims=True),
        truth=np.array([truth for _, truth, _ in known], dtype=np.int64),
        fold=np.array([fold for _, _, fold in known], dtype=np.int64),
    )
