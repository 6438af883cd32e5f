"""Which verdicts are worth words."""

import pytest
from support.verdicts import doubtful, verdict

from schemas.verdict import MemberOpinion, Stability
from streams.narrator.selection import selected_for
from streams.settings import NarratorSettings


def branches(*p_ai, ok=True):
    return tuple(MemberOpinion(name="cnn", p_ai=p, ok=ok) for p in p_ai)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (verdict(), ()),
        (doubtful(), ("inconclusive", "low_confidence")),
        (verdict(predicted_source="unknown_generator"), ("unknown_generator",)),
        (verdict(stability=Stability(views=3, flips=1, p_ai_min=0.4, p_ai_max=0.9)), ("unstable",)),
        (verdict(stability=Stability(views=3, flips=0, p_ai_min=0.8, p_ai_max=0.9)), ()),
        (verdict(members=branches(0.9, 0.3)), ("members_disagree",)),
        (verdict(members=branches(0.9, 0.45)), ()),
        (verdict(members=branches(0.9, 0.3, ok=False)), ()),
        (verdict(confidence=0.79), ("low_confidence",)),
        (verdict(confidence=0.8), ()),
        (doubtful(verdict="not_assessable", confidence=None), ()),
    ],
)
def test_uncertain_verdicts_are_taken_by_default(found, why):
    """With every reason that holds."""
    assert selected_for(found, NarratorSettings()) == why


@pytest.mark.parametrize(
    ("select", "found", "why"),
    [
        ("ai", verdict(), ("ai_generated",)),
        ("ai", verdict(confidence=0.6), ("low_confidence",)),
        ("ai", verdict(verdict="real"), ()),
        ("ai", doubtful(), ()),
        ("all", verdict(verdict="real"), ("all",)),
        ("all", doubtful(), ("inconclusive", "low_confidence")),
        ("all", verdict(verdict="not_assessable"), ()),
    ],
)
def test_more_may_be_asked_for(select, found, why):
    """`ai` takes what says AI, `all` whatever was assessed."""
    assert selected_for(found, NarratorSettings(select=select)) == why
