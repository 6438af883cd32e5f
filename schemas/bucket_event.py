"""Bucket notifications as S3 servers publish them: `{"Records": [...]}`, keys URL-encoded (AWS S3 event structure 2.x; MinIO)."""

from typing import Annotated, Any
from urllib.parse import unquote_plus

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from schemas.base import Instant

CREATED = "ObjectCreated:"


class _S3Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class NotifiedObject(_S3Model):
    """`s3.object`; `key` is still URL-encoded here."""

    key: str
    size: Annotated[int, Field(ge=0)] | None = None
    etag: str | None = Field(default=None, validation_alias=AliasChoices("eTag", "etag"))
    content_type: str | None = Field(default=None, validation_alias="contentType")
    version_id: str | None = Field(default=None, validation_alias="versionId")
    sequencer: str | None = None

    def plain_key(self) -> str:
        """Return the key as the object is stored: S3 and MinIO encode it once, a space as `+`."""
        return unquote_plus(self.key)


class NotifiedBucket(_S3Model):
    """`s3.bucket`."""

    name: str


class NotifiedEntity(_S3Model):
    """The `s3` part of a record."""

    bucket: NotifiedBucket
    object: NotifiedObject


class NotificationRecord(_S3Model):
    """One thing that happened to one object."""

    event_name: str = Field(validation_alias="eventName")
    event_time: Instant | None = Field(default=None, validation_alias="eventTime")
    s3: NotifiedEntity

    @property
    def is_upload(self) -> bool:
        """Whether new bytes lie in the bucket (put, post, copy, completed multipart)."""
        return self.event_name.removeprefix("s3:").startswith(CREATED)


def is_notification(body: dict[str, Any]) -> bool:
    """Whether `body` has the shape of a bucket notification, a test event included."""
    return isinstance(body.get("Records"), list) or is_test_event(body)


def is_test_event(body: dict[str, Any]) -> bool:
    """Whether `body` is what S3 sends once when a notification is configured."""
    return body.get("Event") == "s3:TestEvent"
