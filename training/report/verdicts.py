"""The verdicts that serving would give to many images at once, by the rules of `model.decision`, which a test holds this against."""

from dataclasses import dataclass

import numpy as np

from model.abstention import Abstention
from model.config import Temperatures
from schemas.verdict import REAL
from training.metrics import Bools, Floats
from training.scores import Answers


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One row an image; exactly one of `ai`, `real` and `inconclusive` holds."""

    ai: Bools
    real: Bools
    novel: Bools
    leans_to_ai: Bools  # seen from the middle of the band, whatever was said

    @property
    def inconclusive(self) -> Bools:
        """Whether the verdict is withheld."""
        return ~self.ai & ~self.real

    @property
    def unknown(self) -> Bools:
        """Whether it is AI by an unknown generator."""
        return self.ai & self.novel

    def where(self, keep: Bools) -> "Verdicts":
        """Return those of some of the images."""
        return Verdicts(self.ai[keep], self.real[keep], self.novel[keep], self.leans_to_ai[keep])

    def differ(self, other: "Verdicts") -> Bools:
        """Say for each image whether the other verdict is another one, `unknown_generator` counted as one of its own."""
        return np.asarray((self.ai != other.ai) | (self.real != other.real) | (self.unknown != other.unknown))

    def opposed(self, other: "Verdicts") -> Bools:
        """Say for each image whether one verdict is `ai_generated` and the other `real`."""
        return np.asarray((self.ai & other.real) | (self.real & other.ai))


def verdicts_of(answers: Answers, temperatures: Temperatures, abstention: Abstention) -> Verdicts:
    """Return what serving would say, without re-shipped views."""
    return decided(
        1 - answers.probs(temperatures)[:, answers.classes.index(REAL)],
        None if abstention.novelty is None else answers.novelty,
        abstention,
    )


def decided(p_ai: Floats, novelty: Floats | None, abstention: Abstention) -> Verdicts:
    """Apply the rules to the evidence of many images; without a novelty nothing is novel."""
    rule = abstention.decision
    novel = np.zeros(len(p_ai), dtype=bool)
    if novelty is not None and abstention.novelty is not None:
        novel = novelty > abstention.novelty.threshold
    ai = p_ai >= rule.ai_from
    return Verdicts(ai, ~ai & (p_ai <= rule.real_to) & ~novel, novel, p_ai >= (rule.ai_from + rule.real_to) / 2)
