"""What a person is told of a verdict beside its name: why it was withheld, what else it may be. The same words in every command."""

from schemas.verdict import Verdict


def why(verdict: Verdict) -> str:
    """Return why nothing was said, in plain words: `weak evidence, novel`; empty where something was."""
    return ", ".join(reason.replace("_", " ") for reason in verdict.reasons)


def one_of(verdict: Verdict) -> str:
    """Return the classes that the true one is among and how often that holds, `flux, real (90%)`; empty where that is not known."""
    labels = verdict.label_set
    return "" if labels is None else f"{', '.join(labels.labels)} ({labels.coverage:.0%})"


def confidence(verdict: Verdict) -> str:
    """Return the confidence with one decimal, or nothing."""
    return "" if verdict.confidence is None else f"{verdict.confidence:.1%}"
