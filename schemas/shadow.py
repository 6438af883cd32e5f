"""What the shadow said of an image beside what the champion said, on a topic of its own: it is nobody's verdict."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.base import Instant, Message, Probability
from schemas.verdict import VerdictName

SCHEMA: Final = "deeptrace.shadow-verdict/1"

Unit = Annotated[Probability, Field(ge=0, le=1)]


class Opinion(Message):
    """What one model makes of one image."""

    version: str
    sha256: str
    verdict: VerdictName
    predicted_source: str | None = None
    confidence: Unit | None = None
    p_ai: Unit | None = None
    per_class_probs: dict[str, Unit] | None = None
    reasons: tuple[str, ...] = ()


class ShadowVerdict(Message):
    """Both opinions on the same pixels. `outcome_id` is that of the verdict; a repeat of it is another delivery of the same reference."""

    schema_: Literal["deeptrace.shadow-verdict/1"] = Field(default=SCHEMA, alias="schema")
    outcome_id: str
    tenant: str
    judged: Instant
    champion: Opinion
    candidate: Opinion
