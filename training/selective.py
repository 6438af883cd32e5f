"""What abstention is worth: how much may be answered at a stated risk, and whether the unknown is told from the known."""

from dataclasses import dataclass

import numpy as np

from training.metrics import Bools, Floats


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Share of wrong answers among the surest images, for every share of images that is answered."""

    coverage: Floats  # 1/n, 2/n ... 1
    risk: Floats
    whole: Bools  # False inside a run of equal confidences: no threshold stops there

    @property
    def area(self) -> float:
        """Return AURC, the mean risk over all coverages (Geifman and El-Yaniv 2017); 0 is best."""
        return float(self.risk.mean())

    def coverage_at(self, risk: float) -> float:
        """Return the largest share that may be answered with at most `risk` wrong; 0 where none may."""
        within = self.coverage[self.whole & (self.risk <= risk + 1e-12)]
        return float(within.max()) if len(within) else 0.0


def risk_coverage(confidence: Floats, right: Bools) -> RiskCoverage:
    """Answer the surest first; inside a run of equal confidences errors are spread evenly."""
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order])
    count = np.arange(1, len(order) + 1)
    whole = np.append(np.diff(confidence[order]) != 0, True)
    ends = np.flatnonzero(whole)
    spread = np.interp(count, np.concatenate([[0], ends + 1]), np.concatenate([[0], wrong[ends]]))
    return RiskCoverage(count / len(order), spread / count, whole)


def oscr(known: Floats, right: Bools, unknown: Floats) -> float:
    """Area under correct classification rate against false positive rate (Dhamija et al. 2018); higher scores are more known.

    It is the chance that an image of a known class is classified right and scores above one of an unknown class, ties half, so it is
    at most the accuracy and at most the AUROC. NaN where a side is empty.
    """
    if not len(known) or not len(unknown):
        return float("nan")
    below = np.sort(unknown)
    wins = np.searchsorted(below, known, side="left") + np.searchsorted(below, known, side="right")
    return float((wins * right).mean() / (2 * len(unknown)))
