"""The object store for the event loop: blocking calls run in threads of their own, and what comes back is what was referenced."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from schemas.errors import (
    BucketMissing,
    ObjectChanged,
    ObjectDenied,
    ObjectEmpty,
    ObjectRefused,
    StoreUnavailable,
)
from schemas.image_ref import ObjectRef
from storage.conditional_put import conditional_put_works
from storage.store import ObjectStore
from streams.settings import StoreSettings

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Original:
    """What is kept of the judged bytes once they are decoded: the bytes themselves are too large to keep."""

    sha256: bytes
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bytes that will be judged, and their identity."""

    data: bytes
    original: Original


class Objects:
    """Fetches references and writes overlays. At most `fetch_threads` requests are out at once."""

    def __init__(self, store: ObjectStore, settings: StoreSettings, *, archive: bool = False) -> None:
        self._store = store
        self._settings = settings
        # A set in their order: buckets may be one and the same.
        own = (settings.overlay_bucket, *((settings.outcome_bucket,) if archive else ()))
        self._buckets = tuple(dict.fromkeys((*settings.image_buckets, *own)))
        self._threads = ThreadPoolExecutor(settings.fetch_threads, thread_name_prefix="store")
        self._probe = ThreadPoolExecutor(1, thread_name_prefix="store-probe")
        self.answered_at = 0.0  # monotonic seconds of the last object that the store gave us

    async def fetch(self, ref: ObjectRef) -> Fetched:
        """Return the referenced bytes.

        Raises:
            ObjectEmpty, ObjectTooLarge, ObjectChanged: the object is at fault.
            ObjectNotFound, ObjectDenied: it may be there in a moment.
            StoreUnavailable: the store is.
        """
        fetched = await self._in_thread(lambda: self._get(ref))
        self.answered_at = time.monotonic()
        return fetched

    async def write(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        """Store `data`; a repeat overwrites it with the same.

        Raises:
            StoreUnavailable: it may or may not be there; write it again.
        """
        await self._in_thread(
            lambda: self._store.put(bucket, key, data, content_type=content_type, deadline_s=self._settings.deadline_s)
        )

    async def put_if_absent(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        """Store `data` unless the key is taken.

        Raises:
            StoreConflict: it is taken, perhaps by an earlier try of ours whose answer got lost.
            StoreUnavailable: it may or may not be there; try again.
        """
        await self._in_thread(
            lambda: self._store.put_if_absent(
                bucket, key, data, content_type=content_type, deadline_s=self._settings.deadline_s
            )
        )

    async def read(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Return an object of ours. Raises ObjectNotFound, StoreUnavailable."""
        stored = await self._in_thread(
            lambda: self._store.get(bucket, key, max_bytes=max_bytes, deadline_s=self._settings.deadline_s)
        )
        return stored.data

    async def conditional_put_works(self, bucket: str) -> bool:
        """Tell whether the server lets exactly one of many writers win (`storage.conditional_put`)."""
        return await asyncio.get_running_loop().run_in_executor(
            self._probe, lambda: conditional_put_works(self._store, bucket)
        )

    async def probe(self) -> None:
        """Ask the store whether it works. Raises StoreUnavailable while it does not, or lacks a bucket."""
        try:
            missing = await self.missing_buckets()
        except (ObjectDenied, ObjectRefused) as error:
            raise StoreUnavailable("the object store refuses to be asked", why=error.why) from error
        if missing:
            raise StoreUnavailable("a bucket is gone", why=", ".join(missing))

    async def missing_buckets(self) -> list[str]:
        """Return the configured buckets that do not exist."""

        def missing() -> list[str]:
            return [bucket for bucket in self._buckets if not self._store.bucket_exists(bucket)]

        # A thread of its own: when the store hangs, the others all wait for it.
        return await asyncio.get_running_loop().run_in_executor(self._probe, missing)

    def close(self) -> None:
        """End the threads once their requests are done, then the connections."""
        self._threads.shutdown()
        self._probe.shutdown()
        self._store.close()

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except BucketMissing as error:
            # The bucket was there at start. Whoever took it away is repairing something: wait, do not dead-letter the topic.
            raise StoreUnavailable("a bucket is gone", why=error.message, remedy=error.remedy) from error

    def _get(self, ref: ObjectRef) -> Fetched:
        stored = self._store.get(
            ref.bucket,
            ref.key,
            version_id=ref.version_id,
            etag=ref.etag,
            max_bytes=self._settings.max_bytes,
            deadline_s=self._settings.deadline_s,
        )
        if not stored.data:
            raise ObjectEmpty("the object holds no bytes", remedy="Publish the reference after the upload is complete.")
        digest = hashlib.sha256(stored.data)
        if ref.size_bytes not in {None, len(stored.data)} or ref.sha256 not in {None, digest.hexdigest()}:
            raise ObjectChanged(
                "the object is not the one that was referenced",
                why="its size or sha256 differs",
                remedy="Publish a new reference for the new bytes.",
            )
        return Fetched(stored.data, Original(digest.digest(), len(stored.data), stored.info.etag))
