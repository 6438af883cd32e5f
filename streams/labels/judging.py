"""What the reviewers of one outcome say together: whether the verdict was right, and what the image truly is, as far as they know."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from schemas.label import Label
from schemas.verdict import REAL, UNKNOWN_GENERATOR, VerdictName

Said = Literal["correct", "incorrect", "inconclusive"]
Status = Literal["counted", "disputed", "contradictory", "inconclusive"]
STATUSES: Final[tuple[Status, ...]] = ("counted", "disputed", "contradictory", "inconclusive")


@dataclass(frozen=True, slots=True)
class Stated:
    """What the verdict said: by name, by source (None: withheld), and among which classes."""

    verdict: VerdictName
    source: str | None
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """A reviewer's last word on one outcome."""

    said: Said
    true_source: str | None = None

    @classmethod
    def of(cls, label: Label) -> "Word":
        """Return what `label` says."""
        return cls(label.label, label.true_source)


@dataclass(frozen=True, slots=True)
class Judged:
    """One outcome under its reviewers' words.

    `truth` is the class, `unknown_generator` for a generator that the model does not have, or None where nobody said it. `is_ai` is known
    more often: who rejects a `real` has said that the image is generated, whatever by. Only `counted` outcomes have either.
    """

    status: Status
    right: bool | None = None
    """Whether the stated source is true; None where the verdict was withheld."""
    truth: str | None = None
    is_ai: bool | None = None


def judge(stated: Stated, words: Iterable[Word]) -> Judged:
    """Return what the last words of an outcome's reviewers, one each, come to.

    Reviewers who cannot tell stand against nobody, and a word that contradicts itself (`incorrect`, and names what the verdict says) is left
    out. Two who differ make the outcome disputed; who names a truth and who names none do not differ.
    """
    clear = [word for word in words if word.said != "inconclusive"]
    sound = [word for word in clear if not contradicts_itself(stated, word)]
    if not sound:
        return Judged("contradictory" if clear else "inconclusive")
    truths = {truth for word in sound if (truth := truth_of(stated, word)) is not None}
    if len({word.said for word in sound}) > 1 or len(truths) > 1:
        return Judged("disputed")
    truth = truths.pop() if truths else None
    right = None if stated.source is None else sound[0].said == "correct"
    return Judged("counted", right, truth, _is_ai(stated, truth, sound[0].said))


def truth_of(stated: Stated, word: Word) -> str | None:
    """Return the class that a word says is true, if it says one."""
    if word.true_source is not None:
        return as_class(word.true_source, stated.classes)
    return stated.source if word.said == "correct" else None


def contradicts_itself(stated: Stated, word: Word) -> bool:
    """Whether a word calls the stated source correct and names another, or incorrect and names the same."""
    if stated.source is None or word.true_source is None or word.said == "inconclusive":
        return False
    return (as_class(word.true_source, stated.classes) == stated.source) != (word.said == "correct")


def as_class(name: str, classes: Collection[str] | Sequence[str]) -> str:
    """Return `name` where it is a class, else `unknown_generator`: what the right verdict on such an image would say."""
    return name if name == REAL or name in classes else UNKNOWN_GENERATOR


def _is_ai(stated: Stated, truth: str | None, said: Said) -> bool | None:
    if truth is not None:
        return truth != REAL
    # A wrong `real` is generated. A wrong `flux` may be of another generator or a photograph: who knows which names it.
    return True if said == "incorrect" and stated.verdict == "real" else None
