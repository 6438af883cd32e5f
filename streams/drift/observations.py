"""Verdicts to observations: what windows need, keyed by tenant, so that one worker sees the whole of a tenant."""

from datetime import datetime

from schemas.errors import MessageInvalid
from schemas.verdict import Verdict
from schemas.window import Observation


def observation_of(value: bytes | None, *, written_at: datetime) -> Observation:
    """Return what the verdict in `value` says to windows; `written_at` is when it was put on the topic.

    The event time is the reference's. It is the same in every repeat of a verdict, so repeats fall into the same window.

    Raises:
        MessageInvalid: `value` is not a verdict.
    """
    if value is None:
        raise MessageInvalid("not a valid Verdict", why="the record has no value")
    verdict = Verdict.from_bytes(value)
    return Observation(
        outcome_id=verdict.outcome_id,
        tenant=verdict.tenant,
        event_time=verdict.source.event_time or written_at,
        verdict=verdict.verdict,
        predicted_source=verdict.predicted_source,
        per_class_probs=verdict.per_class_probs,
        model_version=verdict.model.version,
    )
