"""What a producer does: upload images, publish a reference for each. A platform does the same in its own code."""

import asyncio
import mimetypes
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from schemas import topics
from schemas.cloud_event import write_headers
from schemas.errors import UsageError
from schemas.image_ref import ImageRef, ObjectRef, Want
from schemas.topics import record_key
from storage.store import ObjectStore
from streams.producer import Producer

IMAGE_TYPE = "deeptrace.image.v1"
SOURCE = "/deeptrace/publish"
S3_SCHEME = "s3://"
UPLOAD_DEADLINE_S = 60
UNDER_WAY = 64  # the broker answers after its linger time: one by one there would be fewer than 50 references a second
Overlay = Literal["auto", "always", "never"]


@dataclass(frozen=True, slots=True)
class Upload:
    """An object that lies in the store, ready to be referenced."""

    image_id: str
    bucket: str
    key: str
    size_bytes: int
    etag: str


def files_under(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files named, and all files under the folders named, in a stable order.

    Raises:
        UsageError: a path does not exist.
    """
    for path in paths:
        if path.is_dir():
            yield from sorted(found for found in path.rglob("*") if found.is_file() and not found.name.startswith("."))
        elif path.is_file():
            yield path
        else:
            raise UsageError(f"{path}: no such file or folder")


def upload(store: ObjectStore, bucket: str, path: Path) -> Upload:
    """Put one file under a key of its own: publishing a file twice gives two uploads."""
    upload_id = uuid.uuid4().hex
    data = path.read_bytes()
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    key = f"uploads/{upload_id}{path.suffix.lower()}"
    info = store.put(bucket, key, data, content_type=content_type, deadline_s=UPLOAD_DEADLINE_S)
    return Upload(f"{path.stem[:80]}-{upload_id[:8]}", bucket, key, len(data), info.etag)


def stored(store: ObjectStore, url: str) -> Iterator[Upload]:
    """Yield every object under `s3://bucket/prefix`.

    Raises:
        UsageError: `url` has no bucket.
    """
    bucket, _, prefix = url.removeprefix(S3_SCHEME).partition("/")
    if not bucket:
        raise UsageError(f"{url}: names no bucket", remedy="Write s3://bucket/prefix.")
    for info in store.list(bucket, prefix):
        yield Upload(info.key, bucket, info.key, info.size_bytes, info.etag)


def reference(item: Upload, *, tenant: str, overlay: Overlay = "auto") -> ImageRef:
    """Return the reference for `item`, pinned to the bytes that lie there now."""
    return ImageRef(
        event_id=uuid.uuid4().hex,
        tenant=tenant,
        image_id=item.image_id,
        object=ObjectRef(bucket=item.bucket, key=item.key, etag=item.etag, size_bytes=item.size_bytes),
        event_time=datetime.now(UTC),
        want=Want(overlay=overlay),
    )


async def publish(producer: Producer, ref: ImageRef) -> None:
    """Publish `ref`; on return it is accepted, and an outcome will exist for it."""
    await producer.send(
        topics.IMAGES,
        key=record_key(ref.tenant, ref.image_id),
        value=ref.to_bytes(),
        headers=write_headers(
            event_id=ref.event_id,
            source=SOURCE,
            event_type=IMAGE_TYPE,
            subject=ref.image_id,
            time=ref.event_time or datetime.now(UTC),
        ),
    )


async def publish_all(
    refs: AsyncIterator[ImageRef], send: Callable[[ImageRef], Awaitable[None]], *, accepted: Callable[[ImageRef], None]
) -> None:
    """Send `refs` with at most `UNDER_WAY` of them unanswered, and call `accepted` in order for each that the broker has.

    Raises what the first failed `send` raised, once all that were under way have their answer.
    """
    under_way: deque[tuple[ImageRef, asyncio.Future[None]]] = deque()
    try:
        async for ref in refs:
            under_way.append((ref, asyncio.ensure_future(send(ref))))
            while under_way and (len(under_way) >= UNDER_WAY or under_way[0][1].done()):
                await _accept(under_way, accepted)
        while under_way:
            await _accept(under_way, accepted)
    finally:
        await asyncio.gather(*(answer for _, answer in under_way), return_exceptions=True)
        for ref, answer in under_way:
            if not answer.cancelled() and answer.exception() is None:
                accepted(ref)


async def _accept(
    under_way: deque[tuple[ImageRef, asyncio.Future[None]]], accepted: Callable[[ImageRef], None]
) -> None:
    ref, answer = under_way.popleft()
    await answer
    accepted(ref)


async def paced(items: Iterable[Upload], rate: float | None) -> AsyncIterator[Upload]:
    """Yield `items`, at most `rate` a second; they are made in a thread, since making one may mean an upload."""
    loop = asyncio.get_running_loop()
    iterator = iter(items)
    due = loop.time()
    while (item := await asyncio.to_thread(next, iterator, None)) is not None:
        if rate:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due += 1 / rate
        yield item
