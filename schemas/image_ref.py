"""A reference to an uploaded image: where its bytes lie and what is wanted; never the bytes, never a URL."""

import re
import unicodedata
from typing import Annotated, Final, Literal
from urllib.parse import unquote

import orjson
from pydantic import AfterValidator, Field, StringConstraints

from schemas.base import Instant, Message
from schemas.errors import KeyForbidden

MAX_REFERENCE_BYTES = 64 * 1024
MAX_KEY_BYTES = 1024
SCHEMA: Final = "deeptrace.image/1"

MAX_IMAGE_ID_BYTES = 1100  # room for `bucket/key` of a bucket notification
MAX_ECHO_BYTES = 1024

Tenant = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Bucket = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # the last: half a character, which has no bytes
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SEPARATORS = re.compile(r"[/\\]")


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must not hold control characters")
    return text


def json_bytes(text: str) -> int:
    """Return the bytes `text` takes in JSON: what is echoed in a verdict counts as it will be written there."""
    return len(orjson.dumps(text.encode(errors="replace").decode())) - 2


def _at_most(max_bytes: int) -> AfterValidator:
    def check(text: str) -> str:
        if json_bytes(text) > max_bytes:
            raise ValueError(f"must not exceed {max_bytes} bytes in JSON")
        return _printable(text)

    return AfterValidator(check)


def _small(labels: dict[str, str]) -> dict[str, str]:
    if sum(json_bytes(k) + json_bytes(v) for k, v in labels.items()) > MAX_ECHO_BYTES:
        raise ValueError(f"must not exceed {MAX_ECHO_BYTES} bytes in all")
    return labels


EventId = Annotated[str, StringConstraints(min_length=1), _at_most(256)]
ImageId = Annotated[str, StringConstraints(min_length=1), _at_most(MAX_IMAGE_ID_BYTES)]
ExternalId = Annotated[str, _at_most(256)]
Label = Annotated[str, _at_most(128)]
Labels = Annotated[dict[Label, Label], Field(max_length=8), AfterValidator(_small)]


def check_key(key: str) -> str:
    """Return `key` if it may name an input object.

    Raises:
        KeyForbidden: for more than 1,024 bytes, control characters, a URL, a leading slash, a `..` or `.` segment (also behind a
            backslash or percent-encoded: some server or proxy may decode once more than it should), or text that is not in Unicode
            form NFC (two spellings of one name would be two objects).
    """
    if fault := _key_fault(key):
        raise KeyForbidden(
            "object.key is not allowed", why=fault, remedy="Reference the object by its plain key in the bucket."
        )
    return key


def _key_fault(key: str) -> str:
    fault = ""
    if not key or len(key.encode(errors="replace")) > MAX_KEY_BYTES:
        fault = f"must have 1 to {MAX_KEY_BYTES} bytes"
    elif _CONTROL.search(key):
        fault = "must not hold control characters"
    elif _URL.match(key):
        fault = "must not be a URL"
    elif key.startswith("/"):
        fault = "must not start with a slash"
    elif _climbs(key) or ("%" in key and _climbs(unquote(unquote(key)))):
        fault = "must not hold a '.' or '..' segment"
    elif not unicodedata.is_normalized("NFC", key):
        fault = "must be in Unicode normal form NFC"
    return fault


def _climbs(key: str) -> bool:
    return not {".", ".."}.isdisjoint(_SEPARATORS.split(key))


class ObjectRef(Message):
    """An object in the store. `etag`, `version_id`, `size_bytes` and `sha256` pin it: a changed object is a dead letter."""

    bucket: Bucket
    key: str
    version_id: Annotated[str, StringConstraints(max_length=256)] | None = None
    etag: Annotated[str, StringConstraints(max_length=256)] | None = None
    size_bytes: Annotated[int, Field(ge=0)] | None = None
    content_type: Annotated[str, StringConstraints(max_length=256)] | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None


class Want(Message):
    """What the producer wants beside the verdict. `auto` renders an overlay unless the verdict is `real`."""

    overlay: Literal["auto", "always", "never"] = "auto"


class ImageRef(Message):
    """Says that an image was uploaded. `external_id` and `labels` are echoed in the verdict, unread."""

    schema_: Literal["deeptrace.image/1"] = Field(default=SCHEMA, alias="schema")
    event_id: EventId
    tenant: Tenant = "default"
    image_id: ImageId
    object: ObjectRef
    event_time: Instant | None = None
    want: Want = Want()
    external_id: ExternalId | None = None
    labels: Labels | None = None
