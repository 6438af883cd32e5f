"""What reviewers say about verdicts: labels in, and what they make of a verdict once they are joined to it."""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from schemas.base import Instant, Message, Probability
from schemas.image_ref import ImageId, Tenant
from schemas.verdict import VerdictName

LABEL_SCHEMA: Final = "deeptrace.label/1"
LABELLED_SCHEMA: Final = "deeptrace.labelled/1"

ReviewerHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16,64}$")]
"""A hash of who reviewed, never a name or an address."""


class Label(Message):
    """A reviewer's word on one verdict, named by its `outcome_id`. Key: `tenant|image_id`.

    `label`: `correct`, `incorrect`, or `inconclusive` where the reviewer cannot tell. `true_source`, where it is known, is a class of the model, `real`,
    or the name of a generator that the model does not have.
    """

    schema_: Literal["deeptrace.label/1"] = Field(default=LABEL_SCHEMA, alias="schema")
    outcome_id: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    tenant: Tenant
    image_id: ImageId
    label: Literal["correct", "incorrect", "inconclusive"]
    true_source: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    reviewer: ReviewerHash
    reason: Annotated[str, StringConstraints(max_length=256)] | None = None
    labelled_at: Instant


class Labelled(Message):
    """A label joined to its verdict: what live precision and recall are counted from. Key: `tenant|image_id`."""

    schema_: Literal["deeptrace.labelled/1"] = Field(default=LABELLED_SCHEMA, alias="schema")
    label: Label
    verdict: VerdictName
    predicted_source: str | None = None
    confidence: Probability | None = None
    per_class_probs: dict[str, Probability] | None = None
    classes: tuple[str, ...] = ()
    """The classes of the model that judged; a `true_source` that is not among them is of a generator that it does not know."""
    prior: tuple[Probability, ...] | None = None
    """The share of each class that the probabilities were calibrated for; absent: they are taken as even."""
    model_version: str
    calibration_id: str
    event_time: Instant
