"""Bytes by bucket and key: the whole of what DeepTrace asks of an object store."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says about an object. `etag` is bare (no quotes); `version_id` is None where nothing is versioned.

    `content_type` and `last_modified` are None where the answer does not carry them (a listing, a put).
    """

    key: str
    size_bytes: int
    etag: str
    version_id: str | None
    content_type: str | None
    last_modified: datetime | None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The stored bytes, exactly as they lie there (a Content-Encoding is not undone), and what the store says of them."""

    data: bytes
    info: ObjectInfo


class ObjectStore(Protocol):
    """Blocking, thread-safe access to the buckets of an allow-list.

    Every method raises

        BucketForbidden: the bucket is not on the allow-list; nothing was sent.
        KeyForbidden: the key breaks the key rules (`schemas.image_ref.check_key`); nothing was sent.
        BucketMissing: the bucket is allowed, but does not exist (some servers do not say so to a delete).
        StoreUnavailable: the store could not be asked or gave no whole answer in time, or `close` was called.
        ObjectDenied: the store refused access.
        ObjectRefused: the store refused for a reason of its own that is none of the others.

    Nothing is tried again in here: whoever calls knows how long it may wait. No error text holds an object key, which may be
    a person's name, or a credential.
    """

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        max_bytes: int,
        deadline_s: float,
    ) -> StoredObject:
        """Return the whole object within `deadline_s`, however slowly the store sends.

        An empty object is returned as such.

        Raises:
            ObjectNotFound: there is no such object, or not in that version.
            ObjectChanged: the object is not the one with `etag`, or the store ignores the version it was asked for.
            ObjectTooLarge: more than `max_bytes`; at most `max_bytes + 1` bytes were read.
        """

    def put(self, bucket: str, key: str, data: bytes, *, content_type: str, deadline_s: float) -> ObjectInfo:
        """Store `data`, replacing what was there; on return it can be read."""

    def put_if_absent(self, bucket: str, key: str, data: bytes, *, content_type: str, deadline_s: float) -> ObjectInfo:
        """Store `data` unless the key is taken: of any number of writers exactly one returns.

        A writer whose answer got lost (StoreUnavailable) may have won: when it tries again it is told StoreConflict.

        Raises:
            StoreConflict: the key is taken.
            StoreUnsupported: the server has no conditional put.
        """

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectInfo:
        """Return what the store says of the object.

        Raises:
            ObjectNotFound: there is no such object, or not in that version.
        """

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with `prefix`, in the order of the keys, a page at a time."""

    def delete(self, bucket: str, key: str) -> None:
        """Delete the object; no error if there is none. Where the server keeps versions, the old ones stay."""

    def ensure_bucket(self, bucket: str) -> bool:
        """Create the bucket unless it exists; return whether it was created here."""

    def bucket_exists(self, bucket: str) -> bool:
        """Return whether the bucket exists."""

    def close(self) -> None:
        """Give back all connections; every later call raises StoreUnavailable. A second `close` does nothing."""
