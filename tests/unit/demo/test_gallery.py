import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from model.pixels import Pixels, preprocess
from schemas.verdict import Verdict
from storage.memory import MemoryStore
from streams.demo.bad_references import bad_references
from streams.demo.folder import DemoFolder
from streams.demo.gallery import Gallery
from streams.demo.pictures import Picture
from streams.demo.sending import Sent, bad_parcels, parcels_of, upload_all

Topics = Any  # the fixture of this folder's conftest.py
BUCKET = "deeptrace-overlays"


class InProcessDecoder:
    """Decodes where it is called; the images of these tests are our own."""

    async def decode(self, data: bytes, *, seed: bytes) -> Pixels:
        return preprocess(data, seed=seed)


def picture(format_: str) -> bytes:
    Image.new("RGB", (40, 30), "teal").save(target := io.BytesIO(), format_)
    return target.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> DemoFolder:
    folder = DemoFolder(tmp_path / "out")
    folder.prepare()
    return folder


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore(allowed_buckets=frozenset({BUCKET}))
    store.ensure_bucket(BUCKET)
    return store


@pytest.fixture
def judged(topic: Topics, tmp_path: Path) -> Callable[..., tuple[Sent, Verdict]]:
    """Make a file of `data` and a verdict on it whose overlay lies under `overlays/a.webp`."""

    def make(data: bytes, name: str = "a.jpg") -> tuple[Sent, Verdict]:
        sent, image = topic.publish(name)
        topic.tally.note(image)
        topic.tally.note(topic.verdict(image))
        (tmp_path / "a").write_bytes(data)
        verdict = topic.tally.verdict_of(sent)
        place = verdict.explanation.model_copy(update={"bucket": BUCKET, "key": "overlays/a.webp"})
        sent = replace(sent, parcel=replace(sent.parcel, path=tmp_path / "a"))
        return sent, verdict.model_copy(update={"explanation": place})

    return make


async def test_image_and_overlay_get_files_of_the_same_name(
    folder: DemoFolder, store: MemoryStore, judged: Callable[..., tuple[Sent, Verdict]]
) -> None:
    """The overlay as it came out of the store, the image small and as WebP."""
    overlay = picture("WEBP")
    store.put(BUCKET, "overlays/a.webp", overlay, content_type="image/webp", deadline_s=1)

    [shown] = await Gallery(folder, store, InProcessDecoder()).show([judged(picture("JPEG"))])

    assert (shown.picture, shown.overlay) == ("pictures/0001-a.webp", "overlays/0001-a.webp")
    assert (folder.root / "overlays/0001-a.webp").read_bytes() == overlay
    with Image.open(folder.root / "pictures/0001-a.webp") as small:
        assert small.size == (40, 30)


@pytest.mark.parametrize("overlay", [None, b"RIFF....WEBP", picture("PNG")], ids=["missing", "broken", "png"])
async def test_an_overlay_that_does_not_open_is_not_shown(
    folder: DemoFolder, store: MemoryStore, judged: Callable[..., tuple[Sent, Verdict]], overlay: bytes | None
) -> None:
    """The image still is."""
    if overlay is not None:
        store.put(BUCKET, "overlays/a.webp", overlay, content_type="image/webp", deadline_s=1)

    [shown] = await Gallery(folder, store, InProcessDecoder()).show([judged(picture("JPEG"))])

    assert (shown.picture, shown.overlay) == ("pictures/0001-a.webp", None)


async def test_an_image_that_does_not_decode_is_not_shown(
    folder: DemoFolder, store: MemoryStore, judged: Callable[..., tuple[Sent, Verdict]]
) -> None:
    """Such as a file that was changed after it was judged."""
    [shown] = await Gallery(folder, store, InProcessDecoder()).show([judged(b"text")])

    assert shown.picture is None


async def test_an_uploaders_name_never_leaves_the_folder(
    folder: DemoFolder, store: MemoryStore, judged: Callable[..., tuple[Sent, Verdict]]
) -> None:
    """Nor does it need escaping in a page."""
    [shown] = await Gallery(folder, store, InProcessDecoder()).show([judged(picture("PNG"), '../"ä b".png')])

    assert shown.picture == "pictures/0001--b-.webp"


async def test_every_parcel_is_uploaded_in_its_order(store: MemoryStore, tmp_path: Path) -> None:
    """Good and bad alike, each under a key of its own; the progress counts up."""
    (tmp_path / "good.png").write_bytes(picture("PNG"))
    bad = bad_references()
    parcels = [
        *parcels_of([Picture(tmp_path / "good.png", "good.png", "real")], simulated=True),
        *bad_parcels(bad, tmp_path / "bad"),
    ]
    seen: list[int] = []

    uploads = await upload_all(store, BUCKET, parcels, progress=seen.append)

    assert [upload.size_bytes for upload in uploads] == [len(picture("PNG")), *(len(one.data) for one in bad)]
    assert [parcel.expected for parcel in parcels] == ["a verdict", *(one.expected.code for one in bad)]
    assert seen == list(range(1, len(parcels) + 1))
