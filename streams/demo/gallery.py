"""The pictures of the page: each image small, beside its overlay. Uploaded bytes are only ever decoded in decoder processes."""

import asyncio
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from model.pixels import Pixels
from schemas.errors import DeepTraceError
from schemas.verdict import Verdict
from storage.store import ObjectStore
from streams.demo.folder import DemoFolder
from streams.demo.sending import Sent
from streams.pipeline import Decoder

_MAX_OVERLAY_BYTES = 4 << 20
_DEADLINE_S = 20
_PARALLEL = 4
_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Shown:
    """A judged image as the page shows it: paths below the demo folder, None for what could not be had."""

    sent: Sent
    verdict: Verdict
    picture: str | None
    overlay: str | None


class Gallery:
    """Fills the folder with small copies and overlays."""

    def __init__(self, folder: DemoFolder, store: ObjectStore, decoder: Decoder) -> None:
        self._folder = folder
        self._store = store
        self._decoder = decoder
        self._room = asyncio.Semaphore(_PARALLEL)

    async def show(self, judged: Sequence[tuple[Sent, Verdict]]) -> list[Shown]:
        """Return every judged image with the names of its files, in order. A file that cannot be had costs only itself."""
        return list(await asyncio.gather(*(self._show(number, *pair) for number, pair in enumerate(judged, 1))))

    async def _show(self, number: int, sent: Sent, verdict: Verdict) -> Shown:
        stem = f"{number:04d}-{_plain(Path(sent.parcel.name).stem)}"
        async with self._room:
            overlay = await asyncio.to_thread(self._overlay, verdict, self._folder.overlays / f"{stem}.webp")
            picture = await self._picture(sent, verdict, self._folder.pictures / f"{stem}.webp")
        return Shown(sent, verdict, self._name(picture), self._name(overlay))

    def _overlay(self, verdict: Verdict, target: Path) -> Path | None:
        """Download the overlay; None unless there is one and it opens."""
        place = verdict.explanation
        if place.status != "written" or place.bucket is None or place.key is None:
            return None
        try:
            stored = self._store.get(place.bucket, place.key, max_bytes=_MAX_OVERLAY_BYTES, deadline_s=_DEADLINE_S)
            Image.open(io.BytesIO(stored.data), formats=["WEBP"]).load()
        except (DeepTraceError, OSError, UnidentifiedImageError):
            return None
        target.write_bytes(stored.data)
        return target

    async def _picture(self, sent: Sent, verdict: Verdict, target: Path) -> Path | None:
        """Write a small copy, upright and in sRGB; None where the file cannot be decoded any more."""
        data = await asyncio.to_thread(sent.parcel.path.read_bytes)
        try:
            pixels = await self._decoder.decode(data, seed=bytes.fromhex(verdict.object.sha256))
        except DeepTraceError:
            return None
        await asyncio.to_thread(_save, pixels, target)
        return target

    def _name(self, path: Path | None) -> str | None:
        return None if path is None else path.relative_to(self._folder.root).as_posix()


def _save(pixels: Pixels, target: Path) -> None:
    Image.fromarray(pixels.thumb).save(target, "WEBP", quality=_QUALITY)


def _plain(name: str) -> str:
    """Return a name that needs no escaping anywhere: an upload's name is its uploader's."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:60]
