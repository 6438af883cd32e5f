"""CloudEvents 1.0 in binary mode: attributes in `ce_*` record headers, the value stays plain JSON.

The format is the CloudEvents Kafka protocol binding 1.0.2; the `cloudevents` SDK writes and reads it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cloudevents.core.bindings import kafka
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.v1.event import CloudEvent

from schemas.errors import MessageInvalid

Headers = tuple[tuple[str, bytes | None], ...]
"""Record headers in their order; names may repeat, and Kafka allows a null value."""


SPECVERSION: Final = "1.0"
REQUIRED: Final = ("id", "source", "type", "specversion")
KNOWN: Final = frozenset({*REQUIRED, "subject", "time", "datacontenttype", "dataschema"})


@dataclass(frozen=True, slots=True)
class EventIdentity:
    """`source` and `id` of an event: equal pairs are the same event (CloudEvents 1.0 section 3.1)."""

    source: str
    id: str


def write_headers(*, event_id: str, source: str, event_type: str, subject: str, time: datetime) -> Headers:
    """Return the record headers of an event whose value is JSON."""
    event = CloudEvent(
        attributes={
            "id": event_id,
            "source": source,
            "type": event_type,
            "specversion": SPECVERSION,
            "subject": subject,
            "time": time,
            "datacontenttype": "application/json",
        },
        data=b"",
    )
    return tuple(kafka.to_binary_event(event, key_mapper=lambda _: None).headers.items())


def read_identity(headers: Headers) -> EventIdentity | None:
    """Return the identity in binary-mode headers, or None where the record is no CloudEvent.

    Raises:
        MessageInvalid: when `ce_*` headers are there but do not make an event.
    """
    ce = {name: value or b"" for name, value in headers if name.startswith(kafka.CE_PREFIX)}
    if not ce:
        return None
    # The SDK takes what is missing for a new event and draws an id for it: the same record would be another one each time it is read.
    if missing := [name for name in REQUIRED if not ce.get(f"{kafka.CE_PREFIX}{name}")]:
        raise _not_an_event(missing)
    try:
        event = kafka.from_binary_event(kafka.KafkaMessage(headers=ce, key=None, value=b""))
    except (BaseCloudEventException, ValueError) as error:
        at_fault: object = getattr(error, "errors", None)
        raise _not_an_event(at_fault if isinstance(at_fault, dict) else ()) from None
    if event.get_specversion() != SPECVERSION:
        raise _not_an_event(["specversion"])
    return EventIdentity(source=event.get_source(), id=event.get_id())


def _not_an_event(at_fault: Iterable[str]) -> MessageInvalid:
    # The name of an extension is the producer's text: it is not repeated.
    named = ", ".join(sorted({name if name in KNOWN else "an extension" for name in at_fault}))
    return MessageInvalid(
        "the ce_* headers are not a CloudEvent 1.0",
        why=f"at fault: {named or 'a value that is not text of its kind'}",
        remedy="Send ce_id, ce_source, ce_type and ce_specversion, or no ce_ header at all.",
    )
