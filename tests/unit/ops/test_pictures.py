"""Small pictures: of allowed places only, decoded in a process of their own, and not too many at once."""

import asyncio
import io
import threading

import pytest
from PIL import Image
from support import ops_sample as sample

from schemas.errors import BucketForbidden, ImageRejected, ObjectChanged, ObjectNotFound, StoreUnavailable
from storage.memory import MemoryStore
from streams.ops.pictures import SIDE_PX, Busy, Pictures, is_shown, open_pictures
from streams.ops.tokens import Place
from streams.settings import Settings, StoreSettings

IMAGES, OVERLAYS, OUTCOMES = "deeptrace-images", "deeptrace-overlays", "deeptrace-outcomes"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> MemoryStore:
    """A store with an image, an overlay and an object that is neither."""
    made = MemoryStore({IMAGES, OVERLAYS, OUTCOMES})
    made.put(IMAGES, "a.jpg", sample.some_picture(1, side=600), content_type="image/jpeg", deadline_s=1)
    made.put(IMAGES, "page.html", b"<script>alert(1)</script>", content_type="text/html", deadline_s=1)
    made.put(OVERLAYS, "overlays/a.webp", sample.some_overlay(1), content_type="image/webp", deadline_s=1)
    made.put(OUTCOMES, "outcomes/a.json", b"{}", content_type="application/json", deadline_s=1)
    return made


@pytest.fixture
async def pictures(store: MemoryStore):
    """Pictures of that store."""
    made = Pictures(store, Settings())
    yield made
    await made.close()


@pytest.mark.parametrize("place", [Place("image", IMAGES, "a.jpg"), Place("overlay", OVERLAYS, "overlays/a.webp")])
async def test_a_picture_is_small_and_encoded_anew(pictures: Pictures, place: Place) -> None:
    """A WebP of at most 192 pixels a side, whatever the original was."""
    picture = Image.open(io.BytesIO(await pictures.small(place)))
    assert picture.format == "WEBP"
    assert max(picture.size) == SIDE_PX


async def test_a_picture_is_fetched_once(pictures: Pictures, store: MemoryStore) -> None:
    """The second time it comes from memory, also while the store is away."""
    first = await pictures.small(Place("image", IMAGES, "a.jpg"))
    with store.outage():
        assert await pictures.small(Place("image", IMAGES, "a.jpg")) == first


@pytest.mark.parametrize(
    "place",
    [
        Place("image", OUTCOMES, "outcomes/a.json"),
        Place("image", "somebody-elses", "a.jpg"),
        Place("overlay", OVERLAYS, "elsewhere/a.webp"),
        Place("overlay", IMAGES, "a.jpg"),
    ],
)
async def test_places_of_others_are_refused(pictures: Pictures, place: Place) -> None:
    """A verdict is a record on a topic and may name any bucket; only images and our overlays are shown."""
    with pytest.raises(BucketForbidden):
        await pictures.small(place)


async def test_pictures_that_are_asked_for_together_share_one_decoder(store: MemoryStore) -> None:
    """A page asks for many at once; a second decoder would never be ended."""
    store.put(IMAGES, "b.jpg", sample.some_picture(2, side=300), content_type="image/jpeg", deadline_s=1)
    before = {thread for thread in threading.enumerate() if thread.name.startswith("decoder")}
    made = Pictures(store, Settings())
    await asyncio.gather(*(made.small(Place("image", IMAGES, key)) for key in ("a.jpg", "b.jpg")))
    decoders = {thread for thread in threading.enumerate() if thread.name.startswith("decoder")} - before
    assert len(decoders) == 1
    await made.close()
    assert not any(thread.is_alive() for thread in decoders)


async def test_what_is_no_picture_is_refused_by_the_decoder(pictures: Pictures) -> None:
    """HTML in an image bucket never reaches a browser."""
    with pytest.raises(ImageRejected):
        await pictures.small(Place("image", IMAGES, "page.html"))


async def test_an_object_that_was_replaced_is_not_shown(pictures: Pictures, store: MemoryStore) -> None:
    """The verdict was about other bytes."""
    before = store.head(IMAGES, "a.jpg").etag
    store.put(IMAGES, "a.jpg", sample.some_picture(2), content_type="image/jpeg", deadline_s=1)
    with pytest.raises(ObjectChanged):
        await pictures.small(Place("image", IMAGES, "a.jpg", etag=before))


async def test_the_store_that_is_away_is_told(pictures: Pictures, store: MemoryStore) -> None:
    """Its error goes to whoever asked."""
    with store.outage(), pytest.raises(StoreUnavailable):
        await pictures.small(Place("image", IMAGES, "a.jpg"))


async def test_asking_is_limited(store: MemoryStore) -> None:
    """After a burst there is a limit, which time lifts."""
    clock = Clock()
    pictures = Pictures(store, Settings(), clock=clock)
    refused = 0
    for number in range(400):
        try:
            await pictures.small(Place("image", IMAGES, f"missing-{number}"))
        except ObjectNotFound:
            continue
        except Busy:
            refused += 1
    assert refused == 250
    clock.now = 1.0
    with pytest.raises(ObjectNotFound):
        await pictures.small(Place("image", IMAGES, "missing"))
    await pictures.close()


def test_without_credentials_there_are_no_pictures() -> None:
    """A drift worker needs no key to the store; then the page does without."""
    assert open_pictures(Settings()) is None


def test_the_overlay_bucket_may_be_an_image_bucket() -> None:
    """With one bucket for both an overlay is told by its prefix, and an image by its bucket."""
    store = StoreSettings(image_buckets=("one",), overlay_bucket="one")
    assert is_shown(Place("image", "one", "a.png"), store)
    assert is_shown(Place("overlay", "one", "overlays/a.webp"), store)
    assert not is_shown(Place("overlay", "one", "a.png"), store)
