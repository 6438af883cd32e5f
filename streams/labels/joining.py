"""A label and the settled outcome it is about: read strictly, held against each other, joined to one record. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import orjson

from schemas.cloud_event import Headers, write_headers
from schemas.errors import MessageInvalid, MessageNotJson, MessageTooLarge, SchemaVersionUnknown
from schemas.identity import OUTCOME_ID_LENGTH, outcome_id
from schemas.label import LABEL_SCHEMA, Label, Labelled
from streams.outcomes import Outcome

MAX_LABEL_BYTES: Final = 16 * 1024
"""More than any label needs: JSON may double every character of an image id, or write it in six."""
MAX_AHEAD: Final = timedelta(hours=1)
"""The last label of a reviewer counts, so one from far ahead of the clock could never be corrected."""
HEX: Final = frozenset("0123456789abcdef")
LABELLED_TYPE: Final = "deeptrace.labelled.v1"
SOURCE: Final = "/deeptrace/labels"

Mismatch = Literal["dead_letter", "outcome_unreadable", "tenant_mismatch", "image_mismatch"]
"""Why a label and what lies under its `outcome_id` do not make a pair."""


def read_label(value: bytes | None, *, now: datetime) -> Label:
    """Return the label in a record.

    Raises:
        MessageNotJson, MessageTooLarge, SchemaVersionUnknown, MessageInvalid: as for references; the text repeats nothing of the record.
    """
    if len(value or b"") > MAX_LABEL_BYTES:
        raise MessageTooLarge(f"{len(value or b'')} bytes", why=f"a label has at most {MAX_LABEL_BYTES}")
    body = _json_object(value or b"")
    if body.get("schema", LABEL_SCHEMA) != LABEL_SCHEMA:
        raise SchemaVersionUnknown("schema: unknown version", why=f"this release reads {LABEL_SCHEMA}")
    label = Label.from_bytes(value or b"")
    if not is_outcome_id(label.outcome_id):
        raise MessageInvalid("not a valid Label", why=f"outcome_id: must be {OUTCOME_ID_LENGTH} lower-case hex digits")
    if label.labelled_at > now + MAX_AHEAD:
        raise MessageInvalid("not a valid Label", why="labelled_at: lies ahead of the clock")
    return label


def is_outcome_id(text: str) -> bool:
    """Whether `text` is spelt like the id of an outcome; nothing else may become part of an object key."""
    return len(text) == OUTCOME_ID_LENGTH and HEX.issuperset(text)


def join(label: Label, outcome: Outcome) -> Labelled | Mismatch:
    """Return the label with what its verdict said, or why the two are not of one image."""
    if outcome.code is not None:
        return "dead_letter"
    verdict = outcome.verdict
    if verdict is None:
        return "outcome_unreadable"
    if label.tenant != verdict.tenant:
        return "tenant_mismatch"
    if label.image_id != verdict.image_id:
        return "image_mismatch"
    return Labelled(
        label=label,
        verdict=verdict.verdict,
        predicted_source=verdict.predicted_source,
        confidence=verdict.confidence,
        per_class_probs=verdict.per_class_probs,
        classes=verdict.model.classes,
        prior=verdict.model.prior,
        model_version=verdict.model.version,
        calibration_id=verdict.model.calibration_id,
        event_time=verdict.source.event_time or _written(outcome.headers) or label.labelled_at,
    )


def headers_of(labelled: Labelled) -> Headers:
    """Return the record's headers; their id follows from the label, so that a repeat is known as one."""
    label = labelled.label
    return write_headers(
        event_id=outcome_id("labelled", label.to_bytes().decode()),
        source=SOURCE,
        event_type=LABELLED_TYPE,
        subject=label.outcome_id,
        time=label.labelled_at,
    )


def _json_object(value: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise MessageNotJson("the value is not JSON") from None
    if not isinstance(body, dict):
        raise MessageNotJson("the value is not a JSON object")
    return body


def _written(headers: Headers) -> datetime | None:
    """Return the time of the verdict's event: of the record that the reference came in, where the producer gave none."""
    text = dict(headers).get("ce_time")
    try:
        moment = None if text is None else datetime.fromisoformat(text.decode())
        return None if moment is None or moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
