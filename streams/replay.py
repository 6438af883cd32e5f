"""Another try for a dead letter: its original record as a new reference, with a new identity, and a header that points to the old one.

A new identity is what makes it another try: under the old one the outcome is settled, and a worker would publish that again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas import topics
from schemas.cloud_event import Headers, read_identity, write_headers
from schemas.dead_letter import ORIGINAL_BYTES, REPLAY_OF, DeadLetter
from schemas.errors import MessageInvalid
from schemas.identity import outcome_id
from schemas.image_ref import ImageRef
from schemas.incoming import Intake, Record, Reference
from schemas.topics import record_key

SOURCE: Final = "/deeptrace/dlq-replay"
IMAGE_TYPE: Final = "deeptrace.image.v1"
MAX_BYTES: Final = 200 * 1024
"""What is sent again must fit onto the images topic (256 KiB) with its new headers; a reference has at most 64 KiB."""
CE: Final = "ce_"
CE_ID: Final = "ce_id"


@dataclass(frozen=True, slots=True)
class Replay:
    """A record for the images topic. `outcome_id` is the new one; None where it follows from the place the record will get."""

    event_id: str
    outcome_id: str | None
    key: bytes | None
    value: bytes | None
    headers: Headers


def fault_of(letter: DeadLetter) -> str | None:
    """Return why a letter cannot be tried again, or None."""
    if any(name == ORIGINAL_BYTES for name, _ in letter.original_headers):
        return "cut: only the beginning of its original is kept"
    if not letter.outcome_id:
        return "no dead letter of ours: it has no outcome id"
    size = sum(len(name) + len(value or b"") for name, value in letter.original_headers)
    if size + len(letter.key or b"") + len(letter.value or b"") > MAX_BYTES:
        return "too large for the images topic"
    return None


def replay_of(letter: DeadLetter, intake: Intake, *, event_id: str, now: datetime) -> Replay:
    """Return the record to publish: key, value and headers of the original, the identity replaced.

    With CloudEvents headers the id is replaced; without them a reference (or what never parsed) gets some. A bucket notification is
    identified by its object, whatever its headers say, so its one reference that failed is sent as a native one.
    """
    original = Record(
        letter.topic,
        letter.partition,
        letter.offset,
        letter.key,
        letter.value,
        _without_pointer(letter.original_headers),
    )
    failed = next((one for one in intake.read(original) if one.outcome_id == letter.outcome_id), None)
    key, value, headers = original.key, original.value, original.headers
    if isinstance(failed, Reference) and failed.format == "s3_notification":
        ref = failed.ref.model_copy(update={"event_id": event_id})
        key, value = record_key(ref.tenant, ref.image_id), ref.to_bytes()
        headers = _with_event(_without_event(headers), ref, event_id, now)
    elif any(name.startswith(CE) for name, _ in headers):
        headers = _with_new_id(headers, event_id)
    else:
        headers = _with_event(headers, failed.ref if isinstance(failed, Reference) else None, event_id, now)
    headers = (*headers, (REPLAY_OF, letter.outcome_id.encode()))
    return Replay(event_id, _new_outcome_id(intake, key, value, headers), key, value, headers)


def _without_pointer(headers: Headers) -> Headers:
    """Leave out the pointer of an earlier replay: the letter at hand is the one that is tried again."""
    return tuple(header for header in headers if header[0] != REPLAY_OF)


def _without_event(headers: Headers) -> Headers:
    return tuple(header for header in headers if not header[0].startswith(CE))


def _with_new_id(headers: Headers, event_id: str) -> Headers:
    new = (CE_ID, event_id.encode())
    if any(name == CE_ID for name, _ in headers):
        return tuple(new if header[0] == CE_ID else header for header in headers)
    return (*headers, new)


def _with_event(headers: Headers, ref: ImageRef | None, event_id: str, now: datetime) -> Headers:
    written = write_headers(
        event_id=event_id,
        source=SOURCE,
        event_type=IMAGE_TYPE,
        subject=ref.image_id if ref is not None else event_id,
        time=ref.event_time if ref is not None and ref.event_time is not None else now,
    )
    names = {name for name, _ in written}
    return (*(header for header in headers if header[0] not in names), *written)


def _new_outcome_id(intake: Intake, key: bytes | None, value: bytes | None, headers: Headers) -> str | None:
    try:
        event = read_identity(headers)
    except MessageInvalid:
        return None
    expected = outcome_id("ce", event.source, event.id) if event else None
    asked = intake.read(Record(topics.IMAGES, 0, 0, key, value, headers))
    return expected if any(one.outcome_id == expected for one in asked) else None
