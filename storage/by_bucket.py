"""One store out of several, told apart by the bucket: credentials that may read images and credentials that may write results never mix."""

from collections.abc import Iterator, Mapping

from storage.access import Access
from storage.store import ObjectInfo, ObjectStore, StoredObject


class ByBucket:
    """`ObjectStore` that hands each request to the one store its bucket belongs to. There is no other way to a bucket."""

    def __init__(self, owners: Mapping[str, ObjectStore]) -> None:
        self._owners = dict(owners)
        self._access = Access(self._owners)

    def __repr__(self) -> str:
        return f"ByBucket({self._owners})"

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
        """As in `ObjectStore`."""
        store = self._owner(bucket)
        return store.get(bucket, key, version_id=version_id, etag=etag, max_bytes=max_bytes, deadline_s=deadline_s)

    def put(self, bucket: str, key: str, data: bytes, *, content_type: str, deadline_s: float) -> ObjectInfo:
        """As in `ObjectStore`."""
        return self._owner(bucket).put(bucket, key, data, content_type=content_type, deadline_s=deadline_s)

    def put_if_absent(self, bucket: str, key: str, data: bytes, *, content_type: str, deadline_s: float) -> ObjectInfo:
        """As in `ObjectStore`."""
        return self._owner(bucket).put_if_absent(bucket, key, data, content_type=content_type, deadline_s=deadline_s)

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectInfo:
        """As in `ObjectStore`."""
        return self._owner(bucket).head(bucket, key, version_id=version_id)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """As in `ObjectStore`."""
        return self._owner(bucket).list(bucket, prefix)

    def delete(self, bucket: str, key: str) -> None:
        """As in `ObjectStore`."""
        self._owner(bucket).delete(bucket, key)

    def ensure_bucket(self, bucket: str) -> bool:
        """As in `ObjectStore`."""
        return self._owner(bucket).ensure_bucket(bucket)

    def bucket_exists(self, bucket: str) -> bool:
        """As in `ObjectStore`."""
        return self._owner(bucket).bucket_exists(bucket)

    def close(self) -> None:
        """As in `ObjectStore`; closes all of them."""
        for store in self._owners.values():
            store.close()

    def _owner(self, bucket: str) -> ObjectStore:
        self._access.check(bucket)
        return self._owners[bucket]
