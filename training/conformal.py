"""Label sets that hold the true class with a stated probability: split conformal prediction with the score 1 - p(true class)."""

from dataclasses import dataclass

import numpy as np

from model.abstention import ConformalRule
from training.metrics import Bools, Floats, Ints
from training.thresholds import upper_quantile


def conformal_rule(probs: Floats, labels: Ints, coverage: float) -> ConformalRule:
    """Fit the least probability that a class needs to enter the set (LAC; Sadinle, Lei, Wasserman 2019).

    Raises `UsageError` where there are too few images for the coverage.
    """
    true = probs[np.arange(len(labels)), labels]
    least = -upper_quantile(-true, 1 - coverage, what="label sets that miss the true class at a rate")
    return ConformalRule(coverage=coverage, least_probability=min(1.0, max(0.0, least)), images=len(labels))


@dataclass(frozen=True, slots=True)
class Sets:
    """Label sets of many images."""

    member: Bools  # [images, classes]

    def holds(self, labels: Ints) -> Bools:
        """Say for each image whether its set holds its class."""
        return np.asarray(self.member[np.arange(len(labels)), labels])

    @property
    def sizes(self) -> Ints:
        """Number of classes in each set; 0 where nothing is likely enough."""
        return np.asarray(self.member.sum(axis=1))


def label_sets(probs: Floats, rule: ConformalRule) -> Sets:
    """Every class with at least the rule's probability."""
    return Sets(probs >= rule.least_probability)
