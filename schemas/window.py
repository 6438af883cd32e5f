"""Live class distributions: what the drift worker publishes of the windows it keeps."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.base import Instant, Message

WINDOW_SCHEMA: Final = "deeptrace.window/1"
ALERT_SCHEMA: Final = "deeptrace.drift-alert/1"
CANDIDATE_SCHEMA: Final = "deeptrace.generator-candidate/1"

OVERALL: Final = "*"
"""The tenant of windows over all tenants; no tenant can be called so."""


class Estimate(Message):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


class GoodnessOfFit(Message):
    """Pearson's chi-square of the window's answers against what the correction predicts, over cells of likeliest class, confidence and novelty."""

    statistic: float
    degrees: Annotated[int, Field(ge=1)]
    p_value: float


class Correction(Message):
    """Class shares corrected for prevalence, by expectation maximisation on the calibrated probabilities (Saerens, Latinne and Decaestecker 2002).

    It holds where only the mix of classes has changed, not how each class looks. `ok`: the guard found nothing against it. `unguarded`: not all
    of it could be tested, most often since no calibration profile of a model is known. `void`: the answers cannot come from any mix of the
    known classes; the shares are left out then. `too_few`: not enough images. `reason` says why. `shares` are over the model's classes and sum
    to 1; `ai` is what `real` leaves. `images` are those that the shares rest on: a sample, drawn by outcome id, where the window has more.
    """

    status: Literal["ok", "unguarded", "void", "too_few"]
    reason: str | None = None
    method: Literal["saerens_em"] = "saerens_em"
    shares: dict[str, Estimate] | None = None
    ai: Estimate | None = None
    images: Annotated[int, Field(ge=0)] = 0
    goodness: GoodnessOfFit | None = None
    calibration_ids: tuple[str, ...] = ()


class Divergences(Message):
    """How far a window is from its reference, each with its interval; in nats where the name says so.

    `basis` says which shares were compared: `corrected` where the correction holds, else `raw`. `chi_square_p` is the p-value of Pearson's test
    on the counts (raw in any case). `state` is that of the episode after this window.
    """

    basis: Literal["corrected", "raw"]
    reference_version: str | None = None
    kl_current_reference_nats: Estimate
    kl_reference_current_nats: Estimate
    js_distance: Estimate
    psi: Estimate
    chi_square: float | None = None
    chi_square_p: float | None = None
    state: Literal["steady", "drifting", "too_few"] = "steady"
    episode_id: str | None = None


class StoredObject(Message):
    """Where something lies in the object store."""

    bucket: str
    key: str


class GeneratorCandidate(Message):
    """Images that are AI or novel, like no known class and like one another: perhaps a generator that the model was not taught.

    `cohesion` is the mean cosine of a member to the middle of the cluster; `exemplars` are those nearest to it. Published on the alerts topic,
    and named in the summary of its window.
    """

    schema_: Literal["deeptrace.generator-candidate/1"] = Field(default=CANDIDATE_SCHEMA, alias="schema")
    candidate_id: str
    window_id: str
    tenant: str
    start: Instant
    end: Instant
    window: str
    images: Annotated[int, Field(ge=1)]
    rejected: Annotated[int, Field(ge=1)]
    cohesion: float
    nearest_class: str | None = None
    exemplars: tuple[StoredObject, ...] = ()
    model_version: str


class WindowSummary(Message):
    """One closed window of one tenant, or of all tenants together (`tenant` is `*`).

    `window` names the kind: `1m`, `1h`, `1d` are tumbling, `1h/10m` is an hour that begins every ten minutes. `counts` are hard counts by predicted
    source: a class of a model, or `unknown_generator`. `undecided` are those without one, inconclusive or not assessable; `verdicts` tells them apart.
    `probability_sums` are the summed calibrated probabilities, over the model's own classes. Both are raw: where most images are real they overstate
    AI; `correction` does not. `confidence_histogram` counts the decided by confidence, ten bins of a tenth each. `kl_*` at the top are over raw counts smoothed by +0.5
    (Jeffreys), in nats, absent without a reference or below the minimum count: `kl_current_reference_nats` is KL(current || reference),
    `kl_reference_current_nats` the other direction; `divergences` has them with intervals, on corrected shares where those hold. `late` were counted aside.
    """

    schema_: Literal["deeptrace.window/1"] = Field(default=WINDOW_SCHEMA, alias="schema")
    window_id: str
    tenant: str
    window: str | None = None
    start: Instant
    end: Instant
    images: Annotated[int, Field(ge=0)]
    counts: dict[str, int]
    probability_sums: dict[str, float]
    verdicts: dict[str, int]
    undecided: Annotated[int, Field(ge=0)] = 0
    late: Annotated[int, Field(ge=0)] = 0
    confidence_histogram: tuple[int, ...] | None = None
    mean_confidence: float | None = None
    raw_shares: dict[str, float] | None = None
    correction: Correction | None = None
    reference: dict[str, float] | None = None
    reference_corrected: dict[str, float] | None = None
    """What corrected shares are compared with; absent: the reference knows raw shares only, and they are compared with those."""
    kl_current_reference_nats: float | None = None
    kl_reference_current_nats: float | None = None
    divergences: Divergences | None = None
    candidates: tuple[str, ...] = ()
    model_versions: tuple[str, ...] = ()


class DriftAlert(Message):
    """A window whose distance from the reference passes the threshold even at the lower end of its interval, or the end of such an episode.

    One alert is `raised` an episode, and one `resolved` after it; both carry its `episode_id`. `statistic` `kl_current_reference_nats` compares with
    the reference; `page_hinkley_confidence` tells of a slow change of the mean confidence, and `value` is the detector's sum then.
    `report` is where an Evidently report of the window will lie, where reports are on.
    """

    schema_: Literal["deeptrace.drift-alert/1"] = Field(default=ALERT_SCHEMA, alias="schema")
    alert_id: str
    window_id: str
    tenant: str
    window: str | None = None
    start: Instant
    end: Instant
    images: int
    state: Literal["raised", "resolved"] = "raised"
    episode_id: str | None = None
    statistic: Literal["kl_current_reference_nats", "page_hinkley_confidence"] = "kl_current_reference_nats"
    basis: Literal["corrected", "raw"] = "raw"
    value: float
    low: float | None = None
    high: float | None = None
    threshold: float
    most_grown: str | None = None
    most_shrunk: str | None = None
    shares: dict[str, float]
    reference: dict[str, float]
    report: StoredObject | None = None
