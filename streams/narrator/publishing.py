"""Sends narratives, and does not give up while the broker is away: each is paid for."""

import stamina

from schemas import topics
from schemas.cloud_event import write_headers
from schemas.errors import DependencyDown
from schemas.identity import outcome_id
from schemas.narrative import Narrative
from schemas.topics import record_key
from streams.producer import Producer
from streams.settings import PipelineSettings

SOURCE = "/deeptrace/narrator"
NARRATIVE_TYPE = "deeptrace.explanation.v1"


def event_id(narrative: Narrative) -> str:
    """Return the event id: the same for every narrative of a verdict, so that readers recognise a repeat."""
    return outcome_id("narrative", narrative.outcome_id)


async def publish(producer: Producer, narrative: Narrative, settings: PipelineSettings) -> None:
    """Publish under the key of the verdict; return when the broker has it."""
    headers = write_headers(
        event_id=event_id(narrative),
        source=SOURCE,
        event_type=NARRATIVE_TYPE,
        subject=narrative.image_id,
        time=narrative.written_at,
    )
    async for attempt in stamina.retry_context(
        on=DependencyDown,
        attempts=None,
        timeout=None,
        wait_initial=settings.retry_first_s,
        wait_max=settings.dependency_wait_s,
        wait_jitter=settings.retry_first_s,
    ):
        with attempt:
            await producer.send(
                topics.EXPLANATIONS,
                key=record_key(narrative.tenant, narrative.image_id),
                value=narrative.to_bytes(),
                headers=headers,
            )
