"""An outcome is what is published for one reference: a verdict or a dead letter, ready to send."""

from dataclasses import dataclass

from schemas import topics
from schemas.cloud_event import Headers, write_headers
from schemas.dead_letter import dead_letter_headers, fit
from schemas.errors import DeepTraceError
from schemas.incoming import Record
from schemas.topics import record_key
from schemas.verdict import Verdict

VERDICT_TYPE = "deeptrace.verdict.v1"
SOURCE = "/deeptrace/scoring"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One record to publish. Exactly one of `verdict` and `error` is set."""

    outcome_id: str
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    verdict: Verdict | None = None
    error: DeepTraceError | None = None


def verdict_outcome(verdict: Verdict, record: Record) -> Outcome:
    """Return the verdict as a CloudEvent whose id is the outcome's: consumers drop repeats by it."""
    headers = write_headers(
        event_id=verdict.outcome_id,
        source=SOURCE,
        event_type=VERDICT_TYPE,
        subject=verdict.outcome_id,
        time=verdict.source.event_time or record.timestamp,
    )
    key = record_key(verdict.tenant, verdict.image_id)
    return Outcome(verdict.outcome_id, topics.VERDICTS, key, verdict.to_bytes(), headers, verdict=verdict)


def dead_letter_outcome(
    outcome_id: str, record: Record, error: DeepTraceError, *, stage: str, attempts: int
) -> Outcome:
    """Return the original record, untouched as far as it can be sent, with headers that say what happened."""
    record = fit(record)
    headers = dead_letter_headers(record, error, outcome_id=outcome_id, stage=stage, attempts=attempts)
    return Outcome(outcome_id, topics.DEAD_LETTERS, record.key, record.value, headers, error=error)
