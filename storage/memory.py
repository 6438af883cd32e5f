"""`ObjectStore` in a dictionary: for tests and for `classify`, with versions, and with outages on request."""

import hashlib
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from schemas.errors import (
    BucketMissing,
    ObjectChanged,
    ObjectDenied,
    ObjectNotFound,
    ObjectTooLarge,
    StoreConflict,
    StoreUnavailable,
)
from storage.access import Access
from storage.object_headers import bare_etag
from storage.store import ObjectInfo, StoredObject


@dataclass(slots=True)
class _Versions:
    """All versions of one key, oldest first; `deleted` hides the newest, as a delete marker does."""

    kept: list[StoredObject]
    deleted: bool = False


class MemoryStore:
    """Keeps every version of every object, as a versioned bucket does. It never blocks, so deadlines are always met.

    Buckets of the allow-list exist from the start unless `create_buckets` is False. `outage()` and `denied` are what a test of
    a pipeline needs: a store that is away, and an object that is refused.
    """

    def __init__(self, allowed_buckets: Collection[str], *, create_buckets: bool = True) -> None:
        self._access = Access(allowed_buckets)
        self._lock = threading.RLock()
        self._buckets: dict[str, dict[str, _Versions]] = (
            {name: {} for name in allowed_buckets} if create_buckets else {}
        )
        self._next_version = 1
        self._away = ""
        self.denied: Final[set[tuple[str, str]]] = set()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Make every call within the block raise StoreUnavailable."""
        self._away = "outage"
        try:
            yield
        finally:
            self._away = ""

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        max_bytes: int,
        deadline_s: float,  # noqa: ARG002  # see the class
    ) -> StoredObject:
        """As in `ObjectStore`."""
        found = self._find(bucket, key, version_id)
        if etag is not None and bare_etag(etag) != found.info.etag:
            raise ObjectChanged("the object is not the one referenced", why="another etag")
        if found.info.size_bytes > max_bytes:
            raise ObjectTooLarge("the object exceeds the size cap", why=f"more than {max_bytes} bytes")
        return found

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str,
        deadline_s: float,  # noqa: ARG002  # see the class
    ) -> ObjectInfo:
        """As in `ObjectStore`."""
        with self._lock:
            versions = self._open(bucket, key).setdefault(key, _Versions([]))
            info = ObjectInfo(
                key=key,
                size_bytes=len(data),
                etag=hashlib.md5(data, usedforsecurity=False).hexdigest(),
                version_id=f"v{self._next_version}",
                content_type=content_type,
                last_modified=datetime.now(UTC).replace(microsecond=0),
            )
            self._next_version += 1
            versions.kept.append(StoredObject(bytes(data), info))
            versions.deleted = False
            return info

    def put_if_absent(self, bucket: str, key: str, data: bytes, *, content_type: str, deadline_s: float) -> ObjectInfo:
        """As in `ObjectStore`."""
        with self._lock:
            versions = self._open(bucket, key).get(key)
            if versions is not None and not versions.deleted:
                raise StoreConflict("the key is taken")
            return self.put(bucket, key, data, content_type=content_type, deadline_s=deadline_s)

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectInfo:
        """As in `ObjectStore`."""
        return self._find(bucket, key, version_id).info

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """As in `ObjectStore`."""
        with self._lock:
            newest = {key: held.kept[-1].info for key, held in self._open(bucket).items() if not held.deleted}
        for key in sorted(newest, key=str.encode):
            if key.startswith(prefix):
                yield newest[key]

    def delete(self, bucket: str, key: str) -> None:
        """As in `ObjectStore`."""
        with self._lock:
            versions = self._open(bucket, key).get(key)
            if versions is not None:
                versions.deleted = True

    def ensure_bucket(self, bucket: str) -> bool:
        """As in `ObjectStore`."""
        with self._lock:
            created = not self.bucket_exists(bucket)
            self._buckets.setdefault(bucket, {})
            return created

    def bucket_exists(self, bucket: str) -> bool:
        """As in `ObjectStore`."""
        self._check(bucket)
        return bucket in self._buckets

    def close(self) -> None:
        """As in `ObjectStore`."""
        self._away = "closed"

    def _check(self, bucket: str, key: str | None = None) -> None:
        self._access.check(bucket, key)
        if self._away:
            raise StoreUnavailable("the object store does not answer", why=self._away)
        if key is not None and (bucket, key) in self.denied:
            raise ObjectDenied("the object store refused the object", why="AccessDenied")

    def _open(self, bucket: str, key: str | None = None) -> dict[str, _Versions]:
        self._check(bucket, key)
        if bucket not in self._buckets:
            raise BucketMissing("the bucket does not exist", why=bucket)
        return self._buckets[bucket]

    def _find(self, bucket: str, key: str, version_id: str | None) -> StoredObject:
        with self._lock:
            versions = self._open(bucket, key).get(key, _Versions([], deleted=True))
            if version_id is None and not versions.deleted:
                return versions.kept[-1]
            for held in versions.kept:
                if held.info.version_id == version_id:
                    return held
        raise ObjectNotFound("no such object", why="NoSuchKey" if version_id is None else "NoSuchVersion")
