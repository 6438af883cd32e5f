"""A verdict told in words by a language model, from its numbers alone. It decides nothing; the verdict is what counts."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.base import Instant, Message
from schemas.verdict import VerdictName

NARRATIVE_SCHEMA: Final = "deeptrace.narrative/1"
MAX_SUMMARY: Final = 400

EvidenceKind = Literal[
    "probability", "source", "members", "novelty", "stability", "label_set", "heat_map", "image_flags", "training_data"
]
"""What of a verdict a summary leans on. `training_data`: the model was trained on simulated images."""

Caution = Literal["none", "weak_evidence", "unknown_source", "unstable", "members_disagree", "simulated_model"]
"""What a reader must know before acting on it."""

SelectedFor = Literal[
    "inconclusive", "unknown_generator", "unstable", "members_disagree", "low_confidence", "ai_generated", "all"
]

Tokens = Annotated[int, Field(ge=0)]


class Narrator(Message):
    """Which language model wrote, to which fixed instructions, and what it was paid in tokens."""

    model: str
    instructions: str
    input_tokens: Tokens
    output_tokens: Tokens


class Narrative(Message):
    """One verdict in words. Its event id follows from `outcome_id`: a second one for a verdict has the same and may be dropped.

    `summary` is plain text that a machine wrote: it holds no link, no markup and no control character, every percentage and decimal in it is
    one of the verdict's, and it is still to be escaped where it is shown. `selected_for` says why this verdict was worth words.
    """

    schema_: Literal["deeptrace.narrative/1"] = Field(default=NARRATIVE_SCHEMA, alias="schema")
    outcome_id: str
    image_id: str
    tenant: str
    verdict: VerdictName
    summary: Annotated[str, Field(min_length=1, max_length=MAX_SUMMARY)]
    evidence: tuple[EvidenceKind, ...]
    caution: Caution
    selected_for: tuple[SelectedFor, ...]
    model_version: str
    narrator: Narrator
    written_at: Instant
