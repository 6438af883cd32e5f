"""What the headers of an S3 answer say about an object."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from storage.store import ObjectInfo


def bare_etag(etag: str) -> str:
    """Return the etag without its quotes and weak mark: headers carry them, notifications do not."""
    return etag.removeprefix("W/").strip('"')


def info_from_headers(key: str, size_bytes: int, headers: Mapping[str, str]) -> ObjectInfo:
    """Return what the answer says of the object; `size_bytes` is known better by whoever read or wrote the body."""
    return ObjectInfo(
        key=key,
        size_bytes=size_bytes,
        etag=bare_etag(headers.get("etag", "")),
        version_id=headers.get("x-amz-version-id"),
        content_type=headers.get("content-type"),
        last_modified=_moment(headers.get("last-modified")),
    )


def _moment(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
