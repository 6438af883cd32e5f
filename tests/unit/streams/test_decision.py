"""Probabilities to a verdict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import CheckpointRefused
from streams.decision import check_classes, decide

CLASSES = ("flux", "real", "dalle3")


@pytest.mark.parametrize(
    ("probs", "verdict", "source", "is_ai"),
    [
        ((0.7, 0.1, 0.2), "ai_generated", "flux", True),
        ((0.1, 0.8, 0.1), "real", "real", False),
        ((0.30, 0.45, 0.25), "inconclusive", None, None),
        ((0.05, 0.40, 0.55), "ai_generated", "dalle3", True),
    ],
)
def test_the_rule(probs, verdict, source, is_ai):
    """AI or not comes first; the source is read off only when the verdict is given."""
    decision = decide(CLASSES, np.array(probs), min_confidence=0.6)
    assert (decision.verdict, decision.predicted_source, decision.is_ai_generated) == (verdict, source, is_ai)


@given(st.lists(st.floats(0.001, 1), min_size=3, max_size=3), st.floats(0, 1))
def test_every_decision_is_consistent(weights, min_confidence):
    """Property: confidence is that of the stated verdict, and the generators given AI sum to one."""
    probs = np.array(weights) / sum(weights)
    decision = decide(CLASSES, probs, min_confidence=min_confidence)
    assert decision.p_ai == pytest.approx(1 - probs[1])
    assert decision.confidence == pytest.approx(max(decision.p_ai, 1 - decision.p_ai))
    assert sum(decision.p_generator_given_ai.values()) == pytest.approx(1)
    assert (decision.verdict == "inconclusive") == (decision.confidence < min_confidence)


def test_certainly_real_has_no_generator_given_ai():
    """Nothing is divided by zero: absent means not computed."""
    assert decide(CLASSES, np.array([0.0, 1.0, 0.0]), min_confidence=0.6).p_generator_given_ai is None


@pytest.mark.parametrize("classes", [("real",), ("flux", "dalle3"), ("real", "real")])
def test_a_class_list_no_verdict_can_be_made_from_is_refused(classes):
    """At start, not at the first image."""
    with pytest.raises(CheckpointRefused):
        check_classes(classes)
