"""A browser, and the page with a feed that tests fill themselves."""

import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from support import ops_sample as sample
from support.chromium import Tab, require_chromium, tab

from storage.memory import MemoryStore
from streams.ops.attention import Attention
from streams.ops.companion import serve
from streams.ops.feed import Feed
from streams.ops.guard import Guard
from streams.ops.pictures import Pictures
from streams.settings import Settings


@pytest.fixture
async def browser() -> AsyncIterator[Tab]:
    """An empty tab of a headless browser."""
    async with tab(require_chromium()) as made:
        yield made


class Site:
    """A page on loopback: `feed` is what it shows. It may be stopped and started again on its port, as another worker would be."""

    def __init__(self) -> None:
        self._port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Serve an empty feed that has heard of the broker."""
        self.feed = Feed(history_ms=25 * 3_600_000, latest_verdicts=60, clock=time.time)
        self.feed.heard()
        self._pictures = Pictures(a_store(), Settings())
        self._server = serve(self.feed, Attention(), self._pictures, Guard("127.0.0.1", ()), threshold=sample.THRESHOLD)
        app = web.Application()
        self._server.routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop as a worker does."""
        self._server.stop()
        await self._runner.cleanup()
        await self._pictures.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """The page without a broker, with pictures."""
    made = Site()
    await made.start()
    yield made
    await made.stop()


def a_store() -> MemoryStore:
    """Return a store with the pictures of simulated verdicts."""
    store = MemoryStore({sample.IMAGES_BUCKET, sample.OVERLAYS_BUCKET})
    for n in range(12):
        store.put(sample.IMAGES_BUCKET, f"a/{n}.jpg", sample.some_picture(n), content_type="", deadline_s=1)
        overlay = sample.some_overlay(n)
        store.put(sample.OVERLAYS_BUCKET, f"overlays/{n}.webp", overlay, content_type="", deadline_s=1)
    return store
