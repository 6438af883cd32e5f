"""Files of this machine as the object store of `classify`: nothing stays in memory."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from schemas.errors import ObjectRejected, ObjectTooLarge
from storage.memory import MemoryStore
from storage.store import ObjectInfo, StoredObject
from streams.settings import StoreSettings

PREFIX = "file-"


class LocalFiles(MemoryStore):
    """Reads each file when it is fetched, and keeps an overlay only until it is taken.

    The key of a file is `file-` and its number in `paths`, in the first bucket for images.
    """

    def __init__(self, settings: StoreSettings, paths: Sequence[Path]) -> None:
        self.bucket, overlay_bucket = settings.image_buckets[0], settings.overlay_bucket
        super().__init__({self.bucket, overlay_bucket})
        self._paths = paths
        self._overlays: dict[str, bytes] = {}

    def get(
        self,
        bucket: str,  # noqa: ARG002  # only images are fetched
        key: str,
        *,
        version_id: str | None = None,  # noqa: ARG002  # see `get` of the class above
        etag: str | None = None,  # noqa: ARG002
        max_bytes: int,
        deadline_s: float,  # noqa: ARG002
    ) -> StoredObject:
        """Return the file's bytes.

        Raises:
            ObjectTooLarge: more than `max_bytes`; at most one more was read.
            ObjectRejected: it cannot be read.
        """
        try:
            with self._paths[int(key.removeprefix(PREFIX))].open("rb") as file:
                data = file.read(max_bytes + 1)
        except OSError as error:
            raise ObjectRejected("the file cannot be read", why=error.strerror or type(error).__name__) from error
        if len(data) > max_bytes:
            raise ObjectTooLarge("the file exceeds the size cap", why=f"more than {max_bytes} bytes")
        return StoredObject(data, _info(key, data, "application/octet-stream"))

    def put(
        self,
        bucket: str,  # noqa: ARG002  # only overlays are put
        key: str,
        data: bytes,
        *,
        content_type: str,
        deadline_s: float,  # noqa: ARG002
    ) -> ObjectInfo:
        """Keep an overlay until it is taken."""
        self._overlays[key] = data
        return _info(key, data, content_type)

    def take_overlay(self, key: str) -> bytes:
        """Return an overlay and forget it."""
        return self._overlays.pop(key)


def _info(key: str, data: bytes, content_type: str) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size_bytes=len(data),
        etag=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        version_id=None,
        content_type=content_type,
        last_modified=datetime.now(UTC).replace(microsecond=0),
    )
