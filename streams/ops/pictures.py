"""Small pictures of judged images and their overlays: fetched with the worker's credentials, decoded in the sandbox, encoded anew.

Nothing of the original file reaches the browser but its pixels, 192 of them at most along a side.
"""

import asyncio
import io
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from schemas.errors import BucketForbidden
from storage.by_bucket import ByBucket
from storage.store import ObjectStore
from streams.connecting import connect
from streams.ops.tokens import Place
from streams.settings import Settings, StoreSettings

if TYPE_CHECKING:
    from model.decode_pool import DecodePool
    from model.pixels import Bytes

SIDE_PX: Final = 192
QUALITY: Final = 74
CONTENT_TYPE: Final = "image/webp"
KEPT: Final = 300
"""Pictures that are kept, about 6 kB each."""
WAITING: Final = 64
FETCH_S: Final = 10.0
AT_ONCE: Final = 2

_A_SECOND: Final = 25.0
_AT_A_STROKE: Final = 150.0


class Busy(Exception):
    """More pictures are asked for than are made; an answer to a request, not an error of the tree."""


class Pictures:
    """Makes the picture of a place. One decoder process, started at the first picture, since most workers are never looked at."""

    def __init__(
        self,
        store: ObjectStore,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ops-picture")
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._pool: DecodePool | None = None
        self._starting = asyncio.Lock()
        self._kept: OrderedDict[Place, bytes] = OrderedDict()
        self._allowance = _AT_A_STROKE
        self._allowed_at = clock()

    async def small(self, place: Place) -> bytes:
        """Return a WebP of at most `SIDE_PX` a side.

        Raises:
            Busy: too much is asked for; ask again in a moment.
            BucketForbidden: the place is not one that pictures are shown of.
            DeepTraceError: the object is not to be had, or is no picture.
        """
        if not is_shown(place, self._settings.store):
            raise BucketForbidden("no picture is shown of this object", why=f"it is no {place.kind} of this service")
        if (kept := self._kept.get(place)) is not None:
            self._kept.move_to_end(place)
            return kept
        self._take_allowance()
        self._waiting += 1
        try:
            async with self._slots:
                picture = self._kept.get(place) or await self._make(place)
        finally:
            self._waiting -= 1
        self._kept[place] = picture
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return picture

    def shows(self, place: Place) -> bool:
        """Whether there may be a picture of a place."""
        return is_shown(place, self._settings.store)

    async def close(self) -> None:
        """End the decoder, the threads and the connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        async with self._starting:  # one that is just being started is ended, too
            if self._pool is not None:
                await asyncio.to_thread(self._pool.close)
        await asyncio.to_thread(self._store.close)

    async def _make(self, place: Place) -> bytes:
        loop = asyncio.get_running_loop()
        stored = await loop.run_in_executor(
            self._threads,
            lambda: self._store.get(
                place.bucket,
                place.key,
                version_id=place.version_id,
                etag=place.etag,
                max_bytes=self._settings.store.max_bytes,
                deadline_s=FETCH_S,
            ),
        )
        async with self._starting:  # pictures are asked for together, and of two decoders one would never be ended
            if self._pool is None:
                self._pool = await loop.run_in_executor(self._threads, self._start_decoder)
        pixels = await self._pool.decode(stored.data, seed=b"ops")
        return await loop.run_in_executor(self._threads, lambda: _encode(pixels.thumb))

    def _start_decoder(self) -> "DecodePool":
        from model.decode_pool import DecodePool
        from model.limits import DecodeLimits
        from model.policy import policy_of

        decode = self._settings.decode
        limits = DecodeLimits(
            max_bytes=self._settings.store.max_bytes,
            max_pixels=decode.max_pixels,
            wall_s=decode.timeout_s,
            cpu_s=max(1, int(decode.timeout_s) - 1),
            memory_bytes=decode.memory_bytes,
        )
        return DecodePool(1, limits=limits, policy=policy_of("crops1-224-native-v1"), sandbox=decode.sandbox)

    def _take_allowance(self) -> None:
        now = self._clock()
        self._allowance = min(_AT_A_STROKE, self._allowance + (now - self._allowed_at) * _A_SECOND)
        self._allowed_at = now
        if self._allowance < 1 or self._waiting >= WAITING:
            raise Busy
        self._allowance -= 1


def is_shown(place: Place, store: StoreSettings) -> bool:
    """Whether pictures may be shown of a place: an image of an image bucket, an overlay of ours. A topic may name any place."""
    if place.kind == "image":
        return place.bucket in store.image_buckets
    return place.bucket == store.overlay_bucket and place.key.startswith(store.overlay_prefix)


def open_pictures(settings: Settings) -> Pictures | None:
    """Return the pictures, or None where the settings hold no credentials to the store. Only what is shown can be read."""
    store = settings.store
    if not store.access_key.get_secret_value():
        return None
    second = store.has_second_user
    keys = (store.write_access_key, store.write_secret_key) if second else (store.access_key, store.secret_key)
    images = connect(store, store.access_key, store.secret_key, store.image_buckets)
    overlays = connect(store, *keys, (store.overlay_bucket,))
    return Pictures(ByBucket({store.overlay_bucket: overlays, **dict.fromkeys(store.image_buckets, images)}), settings)


def _encode(rgb: "Bytes") -> bytes:
    """Shrink an RGB picture [h, w, 3] of bytes to `SIDE_PX` and return it as WebP, without any metadata."""
    from PIL import Image

    picture = Image.fromarray(rgb)
    picture.thumbnail((SIDE_PX, SIDE_PX), reducing_gap=2.0)
    target = io.BytesIO()
    picture.save(target, "WEBP", quality=QUALITY, method=2)
    return target.getvalue()
