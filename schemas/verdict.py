"""The verdict on one image. Unknown fields are to be ignored by readers; an absent field was not computed."""

from typing import Annotated, Final, Literal, get_args

from pydantic import Field, model_validator

from schemas.base import Instant, Message, Probability
from schemas.image_ref import Labels

SCHEMA: Final = "deeptrace.verdict/1"
MAX_VERDICT_BYTES = 8 * 1024
UNKNOWN_GENERATOR = "unknown_generator"
REAL = "real"
"""The class that means a photograph; every checkpoint has it."""

Unit = Annotated[Probability, Field(ge=0, le=1)]
Millis = Annotated[float, Field(ge=0)]
VerdictName = Literal["ai_generated", "real", "inconclusive", "not_assessable"]
SUM_TOLERANCE = 1e-3

Reason = Literal["weak_evidence", "novel", "unstable", "too_small", "blank", "truncated"]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""Why a verdict may be withheld. Readers must bear others: a later release may know more."""

TABLES: Final = ("p_generator_given_ai", "label_set", "per_class_probs")
"""What is left out, in this order, of a verdict that is over `MAX_VERDICT_BYTES`; the first follows from the last, with which the model's prior goes."""
TABLES_LEFT_OUT: Final = "tables_left_out"


def is_simulated(training_data: str) -> bool:
    """Whether a model of this `training_data` was trained on simulated images: its verdicts say nothing about real generators."""
    return training_data.startswith("simulated")


class JudgedObject(Message):
    """The bytes that were judged. `sha256` is of the fetched bytes and is the identity; an etag is not a hash."""

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None
    sha256: str
    size_bytes: int
    format: str
    width: int
    height: int
    frames: int = 1


class LabelSet(Message):
    """The classes that the true one is among, likeliest first, with the stated coverage (split conformal prediction).

    The coverage is that over images of classes the model knows: for a generator it has never seen, the set cannot hold the truth.
    """

    coverage: Unit
    labels: tuple[str, ...]


class Novelty(Message):
    """How unlike everything the model was taught the image looks: higher is less known, and over `threshold` it is of no known class.

    For such an image `nearest` is the class it is least unlike, and `embedding` where it lies among others: 32 signed bytes in base64, a
    projection of the network's features to be compared by angle, between verdicts of one model only.
    """

    score: float
    threshold: float
    method: str
    nearest: str | None = None
    embedding: str | None = None


class Stability(Message):
    """How the verdict stands after the image is shipped again (as JPEG quality 60, at 512 px, as WebP): `flips` of `views` lean the other way.

    `p_ai_min` and `p_ai_max` are over the views. An image of at most 512 px has no view of that size.
    """

    views: int
    flips: int
    p_ai_min: Unit
    p_ai_max: Unit


class MemberOpinion(Message):
    """One branch of the ensemble on its own; `ok` is false where it gave none."""

    name: str
    ok: bool = True
    p_ai: Unit | None = None
    top: str | None = None


class Explanation(Message):
    """Where the Grad-CAM overlay lies. It explains the CNN branch (`member`) and nothing else.

    `faithfulness`: how much more the target's probability falls when the hottest cells are removed than when random ones are. Where the
    map does no better than chance it is `withheld`: such a picture would mislead.
    """

    status: Literal["written", "skipped", "withheld", "failed"]
    bucket: str | None = None
    key: str | None = None
    method: str | None = None
    member: str | None = None
    target_class: str | None = None
    faithfulness: Annotated[float, Field(ge=-1, le=1)] | None = None


class ModelStamp(Message):
    """Which model judged, down to the hash of its file. `training_data` starts with `simulated` for the demo checkpoint."""

    version: str
    sha256: str
    kind: str
    training_data: str
    calibration_id: str
    preprocess_id: str
    classes: tuple[str, ...]
    prior: tuple[Unit, ...] | None = None
    """The share of each class that the probabilities were calibrated for; absent: they are taken as even."""


class SourceRecord(Message):
    """The exact record that the reference came from."""

    topic: str
    partition: int
    offset: int
    event_time: Instant | None = None
    format: Literal["native", "s3_notification"]


class Timing(Message):
    """Milliseconds by stage, waiting for it included (`infer_ms`: for the batch), and how many images shared the batch."""

    queue_ms: Millis
    fetch_ms: Millis
    decode_ms: Millis
    infer_ms: Millis
    overlay_ms: Millis
    processing_ms: Millis
    batch_size: int


class Verdict(Message):
    """What one image is, how sure that is, and what it rests on.

    `confidence` is the calibrated probability of the stated verdict: `p_ai` for `ai_generated`, `1 - p_ai` for `real`, the larger
    of both for `inconclusive`; it is absent for `not_assessable`. `predicted_source` is a class of the model, `unknown_generator` (AI, and
    unlike every class the model knows) or null. `reasons` says why a verdict is withheld: `weak_evidence`, `novel`, `unstable` for
    `inconclusive`; `too_small`, `blank`, `truncated` for `not_assessable`. `degraded` says what could not be had beside the verdict:
    `overlay_failed`, `stability_failed`, `tables_left_out` (see `TABLES`; the class list and the producer's own texts fill the record).
    """

    schema_: Literal["deeptrace.verdict/1"] = Field(default=SCHEMA, alias="schema")
    outcome_id: str
    image_id: str
    tenant: str
    event_id: str
    object: JudgedObject
    verdict: VerdictName
    predicted_source: str | None = None
    confidence: Unit | None = None
    is_ai_generated: bool | None = None
    p_ai: Unit | None = None
    per_class_probs: dict[str, Unit] | None = None
    p_generator_given_ai: dict[str, Unit] | None = None
    label_set: LabelSet | None = None
    novelty: Novelty | None = None
    stability: Stability | None = None
    reasons: tuple[str, ...] = ()
    members: tuple[MemberOpinion, ...] = ()
    explanation: Explanation
    model: ModelStamp
    source: SourceRecord
    timing: Timing
    flags: tuple[str, ...] = ()
    status: Literal["ok", "degraded"] = "ok"
    degraded: tuple[str, ...] = ()
    reason: Literal["replay"] | None = None
    """`replay`: history judged again by `deeptrace replay`, on a topic of its own; `replay_of` is the outcome it repeats. Its `timing` is not kept:
    all zero."""
    replay_of: str | None = None
    external_id: str | None = None
    labels: Labels | None = None

    @model_validator(mode="after")
    def _probabilities_sum_to_one(self) -> "Verdict":
        for name in ("per_class_probs", "p_generator_given_ai"):
            table: dict[str, float] | None = getattr(self, name)
            if table is not None and abs(sum(table.values()) - 1) > SUM_TOLERANCE:
                raise ValueError(f"{name} must sum to 1, sums to {sum(table.values()):.6f}")
        return self

    def fitted(self) -> tuple["Verdict", bytes]:
        """Return the verdict as it is published, and its bytes: over `MAX_VERDICT_BYTES` it goes without tables, and says so."""
        verdict, value = self, self.to_bytes()
        for name in TABLES:
            if len(value) <= MAX_VERDICT_BYTES:
                break
            degraded = tuple(dict.fromkeys((*verdict.degraded, TABLES_LEFT_OUT)))
            less: dict[str, object] = {name: None, "status": "degraded", "degraded": degraded}
            if name == "per_class_probs":
                less["model"] = verdict.model.model_copy(update={"prior": None})
            verdict = verdict.model_copy(update=less)
            value = verdict.to_bytes()
        return verdict, value
