"""Uploads files and publishes a reference for each, as a platform would, and remembers what was sent."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from schemas import topics
from schemas.cloud_event import write_headers
from schemas.topics import record_key
from storage.store import ObjectStore
from streams import publishing
from streams.demo.bad_references import BadReference, Spoil
from streams.demo.pictures import Picture
from streams.producer import Producer

TENANT = "demo"
JUDGED = "a verdict"
_PARALLEL_UPLOADS = 8


@dataclass(frozen=True, slots=True)
class Parcel:
    """A file to be uploaded and referenced, with what must come of it: a code, `JUDGED`, or None where anything may."""

    name: str
    path: Path
    label: str | None = None
    expected: str | None = None
    spoil: Spoil | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A reference that Kafka has acknowledged, under its record key, and the bytes that went out for it."""

    parcel: Parcel
    key: bytes
    object_key: str


def parcels_of(pictures: Iterable[Picture], *, simulated: bool) -> list[Parcel]:
    """Return a parcel for each picture. Simulated ones must be judged; among a user's own anything may be."""
    expected = JUDGED if simulated else None
    return [Parcel(picture.name, picture.path, picture.label, expected) for picture in pictures]


def bad_parcels(references: Iterable[BadReference], folder: Path) -> list[Parcel]:
    """Write the files of bad references into `folder` and return their parcels."""
    folder.mkdir(parents=True, exist_ok=True)
    parcels = []
    for bad in references:
        path = folder / bad.name
        path.write_bytes(bad.data)
        parcels.append(Parcel(bad.name, path, expected=bad.expected.code, spoil=bad.spoil))
    return parcels


async def upload_all(
    store: ObjectStore, bucket: str, parcels: Sequence[Parcel], *, progress: Callable[[int], None]
) -> list[publishing.Upload]:
    """Upload every file, several at a time; return what came of each, in order."""
    room = asyncio.Semaphore(_PARALLEL_UPLOADS)
    uploaded = 0

    async def one(parcel: Parcel) -> publishing.Upload:
        nonlocal uploaded
        async with room:
            upload = await asyncio.to_thread(publishing.upload, store, bucket, parcel.path)
        uploaded += 1
        progress(uploaded)
        return upload

    return list(await asyncio.gather(*(one(parcel) for parcel in parcels)))


async def publish_all(
    producer: Producer, parcels: Sequence[Parcel], uploads: Sequence[publishing.Upload]
) -> list[Sent]:
    """Publish a reference for each upload; when this returns, all are accepted."""

    async def one(parcel: Parcel, upload: publishing.Upload) -> Sent:
        ref = publishing.reference(upload, tenant=TENANT, overlay="always")
        key = record_key(TENANT, ref.image_id)
        spoil = parcel.spoil
        await producer.send(
            topics.IMAGES,
            key=key,
            value=ref.to_bytes() if spoil is None else spoil(ref.to_json()),
            headers=write_headers(
                event_id=ref.event_id,
                source=publishing.SOURCE,
                event_type=publishing.IMAGE_TYPE,
                subject=ref.image_id,
                time=datetime.now(UTC),
            ),
        )
        return Sent(parcel, key, upload.key)

    return list(await asyncio.gather(*(one(*pair) for pair in zip(parcels, uploads, strict=True))))
