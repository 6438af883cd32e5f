"""Bytes off the images topic to references, or to rejections that say which field and why. Cannot raise on any input."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from pydantic import ValidationError

from schemas import settled
from schemas.base import fault_list
from schemas.bucket_event import NotificationRecord, is_notification, is_test_event
from schemas.cloud_event import EventIdentity, Headers, read_identity
from schemas.errors import (
    BucketForbidden,
    MessageInvalid,
    MessageNotJson,
    MessageRejected,
    MessageTooLarge,
    SchemaVersionUnknown,
)
from schemas.identity import outcome_id
from schemas.image_ref import (
    MAX_IMAGE_ID_BYTES,
    MAX_REFERENCE_BYTES,
    SCHEMA,
    ImageRef,
    ObjectRef,
    check_key,
    json_bytes,
)

Format = Literal["native", "s3_notification"]
UNVERSIONED = "null"  # what S3 writes for an object of a bucket whose versioning is suspended
MAX_NOTIFICATION_RECORDS = 100  # servers send one; each becomes an outcome that may hold the whole message


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it lies on the topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))


def kafka_time(seconds: float) -> datetime:
    """Return a record's timestamp as a moment; one that no calendar has (some producers write microseconds) becomes now."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Reference:
    """An accepted reference with the id of its one outcome."""

    outcome_id: str
    ref: ImageRef
    format: Format


@dataclass(frozen=True, slots=True)
class RejectedReference:
    """Something on the topic that is no reference, with the id of its one outcome: a dead letter."""

    outcome_id: str
    error: MessageRejected


Incoming = Reference | RejectedReference


@dataclass(frozen=True, slots=True)
class Intake:
    """What may be referenced: the buckets, and our own overlays and outcomes, which must never come back in as uploads."""

    buckets: frozenset[str]
    overlay_bucket: str
    overlay_prefix: str
    outcome_bucket: str = ""

    def read(self, record: Record) -> list[Incoming]:
        """Return what `record` asks for: one entry, several for a notification, none for what is not an upload."""
        fallback = outcome_id("record", record.topic, str(record.partition), str(record.offset))
        try:
            event = read_identity(record.headers)
            fallback = outcome_id("ce", event.source, event.id) if event else fallback
            body = _json_object(record.value)
            if is_notification(body):
                return self._notified(body, record)
            return [self._native(body, event)]
        except MessageRejected as error:
            return [RejectedReference(fallback, error)]

    def _native(self, body: dict[str, Any], event: EventIdentity | None) -> Reference:
        version = body.get("schema", SCHEMA)
        if version != SCHEMA:
            raise SchemaVersionUnknown(
                "schema: unknown version",
                why=f"this release reads {SCHEMA}",
                remedy="Upgrade the workers before the producers, or send the version they read.",
            )
        try:
            ref = ImageRef.model_validate(body)
        except ValidationError as error:
            raise MessageInvalid("not a valid image reference", why=fault_list(error)) from None
        self._check_place(ref.object)
        identity = ("ce", event.source, event.id) if event else ("event", ref.tenant, ref.event_id)
        return Reference(outcome_id(*identity), ref, "native")

    def _notified(self, body: dict[str, Any], record: Record) -> list[Incoming]:
        if is_test_event(body):
            return []
        if len(body["Records"]) > MAX_NOTIFICATION_RECORDS:
            raise MessageInvalid(
                "not a valid bucket notification", why=f"Records: more than {MAX_NOTIFICATION_RECORDS} in one message"
            )
        found: list[Incoming] = []
        for index, raw in enumerate(body["Records"]):
            incoming: Incoming | None
            try:
                incoming = self._notified_object(raw)
            except MessageRejected as error:
                position = (record.topic, str(record.partition), str(record.offset), str(index))
                incoming = RejectedReference(outcome_id("record", *position), error)
            if incoming is not None:
                found.append(incoming)
        return found

    def _notified_object(self, raw: object) -> Reference | None:
        try:
            note = NotificationRecord.model_validate(raw)
        except ValidationError as error:
            raise MessageInvalid("not a valid bucket notification", why=fault_list(error)) from None
        bucket, entity, key = note.s3.bucket.name, note.s3.object, note.s3.object.plain_key()
        if not note.is_upload or self._is_ours(bucket, key):
            return None
        # Without versioning the same key may be written again: the etag, else the sequencer, tells the uploads apart.
        version = entity.version_id if entity.version_id != UNVERSIONED else None
        edition = version or entity.etag or entity.sequencer or ""
        identity = outcome_id("object", bucket, key, edition)
        image_id = f"{bucket}/{key}" + (f"@{version}" if version else "")
        try:
            ref = ImageRef(
                event_id=identity,
                image_id=image_id if json_bytes(image_id) <= MAX_IMAGE_ID_BYTES else f"{bucket}/{identity}",
                object=ObjectRef(
                    bucket=bucket,
                    key=key,
                    version_id=version or None,
                    etag=entity.etag,
                    size_bytes=entity.size,
                    content_type=entity.content_type,
                ),
                event_time=note.event_time,
            )
        except ValidationError as error:
            raise MessageInvalid("not a valid bucket notification", why=fault_list(error)) from None
        self._check_place(ref.object)
        return Reference(identity, ref, "s3_notification")

    def _is_ours(self, bucket: str, key: str) -> bool:
        """Whether the object is one that a worker wrote; also where its buckets are the bucket of the images."""
        return (bucket == self.overlay_bucket and key.startswith(self.overlay_prefix)) or (
            bucket == self.outcome_bucket and key.startswith(settled.PREFIX)
        )

    def _check_place(self, place: ObjectRef) -> None:
        if place.bucket not in self.buckets:
            raise BucketForbidden(
                "object.bucket: not on the allow-list",
                why="workers read only the buckets they are configured for",
                remedy="Add the bucket to DEEPTRACE_STORE__IMAGE_BUCKETS, or correct the reference.",
            )
        check_key(place.key)


def _json_object(value: bytes | None) -> dict[str, Any]:
    if value is None or not value.strip():
        raise MessageNotJson("the record has no value", remedy="Send an image reference as a JSON object.")
    if len(value) > MAX_REFERENCE_BYTES:
        raise MessageTooLarge(
            f"{len(value)} bytes",
            why=f"a reference has at most {MAX_REFERENCE_BYTES}",
            remedy="Send a reference, not the image.",
        )
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise MessageNotJson("the value is not JSON", why=f"{error.msg} at byte {error.pos}") from None
    if not isinstance(body, dict):
        raise MessageNotJson("the value is not a JSON object", why=f"it is a {type(body).__name__}")
    return body
