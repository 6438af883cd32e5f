"""An outcome is what is published for one reference: a verdict or a dead letter, ready to send."""

import contextlib
from dataclasses import dataclass
from datetime import datetime

from schemas import topics
from schemas.cloud_event import Headers, write_headers
from schemas.dead_letter import ERROR_CODE, dead_letter_headers, fit
from schemas.errors import DeepTraceError, MessageInvalid
from schemas.incoming import Record
from schemas.retry import retry_headers
from schemas.settled import SettledOutcome
from schemas.topics import record_key
from schemas.verdict import Verdict

VERDICT_TYPE = "deeptrace.verdict.v1"
SOURCE = "/deeptrace/scoring"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One record to publish. A dead letter has a `code`, a verdict has none.

    `error` is what a dead letter of this process rests on; one that another worker has settled is known by its code alone.
    """

    outcome_id: str
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    verdict: Verdict | None = None
    code: str | None = None
    error: DeepTraceError | None = None

    def settled(self) -> SettledOutcome:
        """Return the outcome as it is stored."""
        return SettledOutcome(
            outcome_id=self.outcome_id,
            kind="verdict" if self.code is None else "dead_letter",
            topic=self.topic,
            key=self.key,
            value=self.value,
            headers=self.headers,
        )


@dataclass(frozen=True, slots=True)
class Postponed:
    """A reference that is put aside: a record for a retry topic, and no outcome yet."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    outcome_id: str
    code: str


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
    fitted, value = verdict.fitted()
    return Outcome(verdict.outcome_id, topics.VERDICTS, key, value, headers, verdict=fitted)


def dead_letter_outcome(
    outcome_id: str, record: Record, error: DeepTraceError, *, stage: str, attempts: int
) -> Outcome:
    """Return the original record, untouched as far as it can be sent, with headers that say what happened."""
    record = fit(record)
    headers = dead_letter_headers(record, error, outcome_id=outcome_id, stage=stage, attempts=attempts)
    return Outcome(outcome_id, topics.DEAD_LETTERS, record.key, record.value, headers, code=error.code, error=error)


def postponed(
    outcome_id: str,
    record: Record,
    error: DeepTraceError,
    *,
    step: int,
    not_before: datetime,
    attempts: int,
    first_seen: datetime,
) -> Postponed:
    """Return the original record for the retry topic of this step."""
    record = fit(record)
    headers = retry_headers(
        record,
        outcome_id=outcome_id,
        not_before=not_before,
        attempts=attempts,
        first_seen=first_seen,
        code=error.code,
    )
    return Postponed(topics.retry_topic(step), record.key, record.value, headers, outcome_id, error.code)


def stored_outcome(data: bytes, outcome_id: str) -> Outcome:
    """Return the settled outcome of a reference as it is published, word for word.

    Raises:
        MessageInvalid: the object is none; somebody wrote it who should not have.
    """
    stored = SettledOutcome.from_bytes(data)
    wanted = (outcome_id, topics.VERDICTS if stored.kind == "verdict" else topics.DEAD_LETTERS)
    if (stored.outcome_id, stored.topic) != wanted:  # who writes the bucket must not make a worker write anywhere else
        raise MessageInvalid("not a valid SettledOutcome", why="of another reference, or for another topic")
    verdict, code = None, None
    if stored.kind == "verdict":
        # Published as it is: one of a newer release, which this one cannot read, is a verdict all the same.
        with contextlib.suppress(MessageInvalid):
            verdict = Verdict.from_bytes(stored.value or b"")
    else:
        said = dict(stored.headers).get(ERROR_CODE)
        if said is None:
            raise MessageInvalid("not a valid SettledOutcome", why=f"a dead letter without {ERROR_CODE}")
        code = said.decode(errors="replace")
    return Outcome(
        stored.outcome_id, stored.topic, stored.key, stored.value, stored.headers, verdict=verdict, code=code
    )
