"""Live class distributions: what the drift worker reads from verdicts, keeps by window, and publishes."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.base import Instant, Message, Probability
from schemas.verdict import VerdictName

OBSERVATION_SCHEMA: Final = "deeptrace.observation/1"
WINDOW_SCHEMA: Final = "deeptrace.window/1"
ALERT_SCHEMA: Final = "deeptrace.drift-alert/1"


class Observation(Message):
    """The part of a verdict that windows need, keyed by tenant so that one partition holds a tenant's whole window."""

    schema_: Literal["deeptrace.observation/1"] = Field(default=OBSERVATION_SCHEMA, alias="schema")
    outcome_id: str
    tenant: str
    event_time: Instant
    verdict: VerdictName
    predicted_source: str | None = None
    per_class_probs: dict[str, Probability] | None = None
    model_version: str


class WindowSummary(Message):
    """One closed window of one tenant.

    `counts` are hard counts by predicted source: a class of a model, or `unknown_generator`. `undecided` are those without one, inconclusive
    or not assessable; `verdicts` tells them apart. `probability_sums` are the summed calibrated probabilities, over the model's own classes
    (both raw, not corrected for prevalence). Divergences are in nats, over counts smoothed by +0.5 (Jeffreys), absent without a reference or below the
    minimum count: `kl_current_reference_nats` is KL(current || reference), `kl_reference_current_nats` the other direction.
    """

    schema_: Literal["deeptrace.window/1"] = Field(default=WINDOW_SCHEMA, alias="schema")
    window_id: str
    tenant: str
    start: Instant
    end: Instant
    images: Annotated[int, Field(ge=0)]
    counts: dict[str, int]
    probability_sums: dict[str, float]
    verdicts: dict[str, int]
    undecided: Annotated[int, Field(ge=0)] = 0
    late: Annotated[int, Field(ge=0)] = 0
    reference: dict[str, float] | None = None
    kl_current_reference_nats: float | None = None
    kl_reference_current_nats: float | None = None
    model_versions: tuple[str, ...] = ()


class DriftAlert(Message):
    """A closed window whose KL(current || reference) is over the threshold and whose count is over the minimum."""

    schema_: Literal["deeptrace.drift-alert/1"] = Field(default=ALERT_SCHEMA, alias="schema")
    alert_id: str
    window_id: str
    tenant: str
    start: Instant
    end: Instant
    images: int
    statistic: Literal["kl_current_reference_nats"] = "kl_current_reference_nats"
    value: float
    threshold: float
    most_grown: str
    most_shrunk: str
    shares: dict[str, float]
    reference: dict[str, float]
