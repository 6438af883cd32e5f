"""When a verdict is given and when it is withheld: rules fitted on a laundered calibration split and kept in the checkpoint.

Every rule carries the rate it was chosen for and the number of images it was chosen on, so that a reader can tell a threshold
from 40 images from one that rests on 40,000.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

Unit = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class DecisionRule(_Frozen):
    """`ai_generated` from `ai_from` on, `real` up to `real_to`, and `inconclusive` between them."""

    ai_from: Unit
    real_to: Unit
    false_positive_rate: Unit  # share of real photographs at or over `ai_from`, as asked for
    false_negative_rate: Unit  # share of generated images at or under `real_to`, as asked for
    reals: PositiveInt  # images the rule was fitted on
    generated: PositiveInt

    @model_validator(mode="after")
    def _in_order(self) -> "DecisionRule":
        if self.real_to > self.ai_from:
            raise ValueError("real_to must not exceed ai_from: an image would be both")
        return self


class NoveltyRule(_Frozen):
    """An image whose novelty (`model.open_set`) is over `threshold` is of no known class."""

    method: str
    threshold: float
    false_rejection_rate: Unit  # share of images of known classes over `threshold`, as asked for
    images: PositiveInt


class ConformalRule(_Frozen):
    """The label set holds every class whose probability is at least `least_probability`; it holds the true one with `coverage`.

    Split conformal prediction with the score 1 - p(true class) (Sadinle, Lei, Wasserman 2019, "least ambiguous set-valued classifiers").
    """

    coverage: Unit
    least_probability: Unit
    images: PositiveInt


class Abstention(_Frozen):
    """All rules of a checkpoint, and the condition of the images they were fitted on (`laundered` as in production)."""

    fitted_on: str
    decision: DecisionRule
    novelty: NoveltyRule | None = None
    conformal: ConformalRule | None = None
