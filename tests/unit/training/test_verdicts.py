import numpy as np
import pytest

from model.abstention import Abstention, DecisionRule, NoveltyRule
from model.classifier import ModelInfo, Prediction
from model.decision import decide
from schemas.verdict import UNKNOWN_GENERATOR
from training.report.verdicts import decided

ABSTENTION = Abstention(
    fitted_on="laundered",
    decision=DecisionRule(
        ai_from=0.7, real_to=0.4, false_positive_rate=0.05, false_negative_rate=0.05, reals=40, generated=160
    ),
    novelty=NoveltyRule(method="logit_density", threshold=3.0, false_rejection_rate=0.05, images=200),
)
INFO = ModelInfo("1", "0" * 64, "c", "p", ("real", "flux"), "test", "trained", ABSTENTION)
CASES = [(p_ai, novelty) for p_ai in (0.0, 0.4, 0.41, 0.69, 0.7, 1.0) for novelty in (-5.0, 3.0, 3.1)]


@pytest.mark.parametrize(("p_ai", "novelty"), CASES)
def test_the_report_s_verdicts_are_serving_s(p_ai, novelty):
    """At and beside every threshold, known and novel."""
    served = decide(Prediction(np.array([1 - p_ai, p_ai]), INFO, novelty=novelty))
    # The evidence as serving computes it, or a rounding would fall on the other side of a threshold.
    ours = decided(np.array([1.0 - (1 - p_ai)]), np.array([novelty]), ABSTENTION)
    assert bool(ours.ai[0]) == (served.verdict == "ai_generated")
    assert bool(ours.real[0]) == (served.verdict == "real")
    assert bool(ours.inconclusive[0]) == (served.verdict == "inconclusive")
    assert bool(ours.unknown[0]) == (served.predicted_source == UNKNOWN_GENERATOR)


def test_changes_and_opposites_by_hand():
    """From AI to inconclusive is a change, from AI to real is one and an opposite too."""
    before = decided(np.array([0.9, 0.9, 0.9, 0.1]), np.zeros(4), ABSTENTION)
    after = decided(np.array([0.9, 0.5, 0.1, 0.1]), np.array([5.0, 0, 0, 0]), ABSTENTION)
    assert before.differ(after).tolist() == [True, True, True, False]
    assert before.opposed(after).tolist() == [False, False, True, False]


def test_without_a_novelty_nothing_is_novel():
    """A checkpoint without an open set."""
    verdicts = decided(np.array([0.9, 0.1]), None, ABSTENTION)
    assert not verdicts.novel.any()
    assert verdicts.real.tolist() == [False, True]
