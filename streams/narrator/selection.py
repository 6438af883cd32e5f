"""Which verdicts are worth words."""

from collections.abc import Iterator
from typing import Final

from schemas.narrative import SelectedFor
from schemas.verdict import UNKNOWN_GENERATOR, Verdict
from streams.settings import NarratorSettings

SAYS_AI: Final = 0.6
SAYS_REAL: Final = 0.4
"""Branches disagree when one is on this side of the middle and another on the other; in between a branch says nothing."""


def selected_for(verdict: Verdict, settings: NarratorSettings) -> tuple[SelectedFor, ...]:
    """Return why `verdict` is to be put into words; empty: it is not. Nothing is said of an image that could not be assessed."""
    if verdict.verdict == "not_assessable":
        return ()
    doubts = tuple(_doubts(verdict, settings.confidence_below))
    if settings.select == "all":
        return doubts or ("all",)
    if settings.select == "ai":
        return (doubts or ("ai_generated",)) if verdict.verdict == "ai_generated" else ()
    return doubts


def _doubts(verdict: Verdict, confidence_below: float) -> Iterator[SelectedFor]:
    if verdict.verdict == "inconclusive":
        yield "inconclusive"
    if verdict.predicted_source == UNKNOWN_GENERATOR:
        yield "unknown_generator"
    if verdict.stability is not None and verdict.stability.flips > 0:
        yield "unstable"
    said = [member.p_ai for member in verdict.members if member.ok and member.p_ai is not None]
    if said and max(said) >= SAYS_AI and min(said) <= SAYS_REAL:
        yield "members_disagree"
    if verdict.confidence is not None and verdict.confidence < confidence_below:
        yield "low_confidence"
