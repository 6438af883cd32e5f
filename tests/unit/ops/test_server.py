"""What is served, to whom, and under which policy."""

import asyncio
import base64
import hashlib
import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import ClientSession, web
from support import ops_sample as sample

from schemas import topics
from storage.memory import MemoryStore
from streams.ops import server as ops_server
from streams.ops.attention import Attention
from streams.ops.companion import serve
from streams.ops.feed import Feed
from streams.ops.guard import Guard
from streams.ops.page import MOST_BYTES, make_page
from streams.ops.pictures import Pictures
from streams.settings import Settings

HOUR_MS = 3_600_000


class Site:
    """The page on a free port of loopback."""

    def __init__(self, feed: Feed, guard: Guard, store: MemoryStore | None) -> None:
        self.feed = feed
        self.pictures = Pictures(store, Settings()) if store else None
        self.server = serve(feed, Attention(), self.pictures, guard, threshold=0.25)
        app = web.Application()
        self.server.routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        self.url = ""

    async def __aenter__(self):
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.http = ClientSession(self.url)
        return self

    async def __aexit__(self, *_):
        await self.http.close()
        self.server.stop()
        await self._runner.cleanup()
        if self.pictures is not None:
            await self.pictures.close()

    async def json(self, path: str, **headers: str):
        async with self.http.get(path, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


def a_site(*, guard: Guard | None = None, store: MemoryStore | None = None) -> Site:
    """Return a site with an empty feed."""
    feed = Feed(history_ms=24 * HOUR_MS, latest_verdicts=50, clock=time.time)
    return Site(feed, guard or Guard("127.0.0.1", ()), store)


def a_window(minutes_ago: int, **changes):
    """Return the record of a window that ended so many minutes ago."""
    end = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return sample.record(topics.WINDOWS, sample.window(end - timedelta(minutes=10), **changes).to_bytes(), end)


def test_the_page_is_small() -> None:
    """One file of at most 150 kB, with nothing to be fetched from elsewhere."""
    page = make_page()
    assert len(page.html) <= MOST_BYTES
    text = page.html.decode()
    found = set(re.findall(r"https?://[^\s\"'<>)]+", text))
    assert found == {"http://www.w3.org/2000/svg"}, "the name of SVG, which is no address that is fetched"
    assert not re.search(r"<(script|link|img)[^>]+src=", text)


def test_the_policy_allows_this_script_and_this_style_alone() -> None:
    """The hashes in the policy are those of the one script and the one style of the page; there is no `unsafe` and no other origin."""
    page = make_page()
    text = page.html.decode()
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in page.policy
    assert page.policy.startswith("default-src 'none'; ")
    assert "unsafe" not in page.policy
    assert "http" not in page.policy


def test_the_script_writes_no_markup() -> None:
    """Texts of strangers become text nodes: nothing in the page's script makes markup or code from a string."""
    text = make_page().html.decode()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "setHTML"):
        assert way not in text


async def test_every_answer_has_its_headers() -> None:
    """Nothing is cached, sniffed, framed or shared with other origins, errors included."""
    async with a_site() as site:
        for path in ("/", "/api/state", "/api/thumbnail/x", "/api/state?since=x"):
            async with site.http.get(path) as answer:
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_changed(method: str) -> None:
    """GET is the only way in."""
    async with a_site() as site:
        for path in ("/", "/api/state", "/api/events", "/api/thumbnail/x", "/api/overlay/x"):
            async with site.http.request(method, path) as answer:
                assert answer.status == 405


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:6067", "127.0.0.1.evil.example", "localhost.evil.example", ""]
)
async def test_another_host_name_is_refused_on_loopback(host: str) -> None:
    """A name that somebody points at 127.0.0.1 (DNS rebinding) gets nothing."""
    async with a_site() as site:
        for path in ("/", "/api/state", "/api/events"):
            async with site.http.get(path, headers={"Host": host}) as answer:
                assert answer.status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:6067", "127.0.0.1:1", "[::1]:6067", "ops.example:80"])
async def test_names_of_loopback_and_the_configured_one_are_served(host: str) -> None:
    """Those of this machine, and those of the setting."""
    async with (
        a_site(guard=Guard("127.0.0.1", ("ops.example",))) as site,
        site.http.get("/", headers={"Host": host}) as answer,
    ):
        assert answer.status == 200


async def test_on_a_network_any_name_is_served_unless_names_are_given() -> None:
    """There the names are not known here; the setting makes a list of them."""
    for hosts, status in (((), 200), (("ops.example",), 421)):
        async with (
            a_site(guard=Guard("0.0.0.0", hosts)) as site,
            site.http.get("/", headers={"Host": "any.example"}) as answer,
        ):
            assert answer.status == status


async def test_other_sites_may_not_read_it() -> None:
    """A browser says when the page of another site asks."""
    async with a_site() as site, site.http.get("/api/state", headers={"Sec-Fetch-Site": "cross-site"}) as answer:
        assert answer.status == 403


async def test_the_state_is_of_a_range_of_one_tenant_and_kind() -> None:
    """Windows of the tenant that ended within the range; its kinds, and all tenants to choose from."""
    async with a_site() as site:
        for record in (a_window(10), a_window(120), a_window(10, tenant="acme"), a_window(10, minutes=60)):
            site.feed.take(record)
        now = site.feed.now_ms
        state = await site.json(f"/api/state?tenant=*&window=10m&since={now - HOUR_MS}")
        assert len(state["windows"]) == 1
        assert (state["specs"], state["tenants"]) == (["10m", "1h"], ["*", "acme"])
        whole = await site.json(f"/api/state?since={now - 3 * HOUR_MS}&until={now}")
        assert len(whole["windows"]) == 2
        assert (await site.json("/api/state?tenant=nobody"))["windows"] == []


@pytest.mark.parametrize(
    "query", ["since=x", "until=-1", "since=1e9", f"since={'9' * 30}", "since=5&until=4", f"tenant={'x' * 65}"]
)
async def test_a_question_that_is_none_is_refused(query: str) -> None:
    """With 400, for the snapshot and for the events."""
    async with a_site() as site:
        for path in ("/api/state", "/api/events"):
            async with site.http.get(f"{path}?{query}") as answer:
                assert answer.status == 400


async def test_hostile_texts_stay_texts() -> None:
    """A tenant that is a script comes as JSON, as it is; the page makes a text node of it (see the test in a browser)."""
    evil = "<script>alert(1)</script>"
    async with a_site() as site:
        site.feed.take(a_window(10, tenant=evil))
        async with site.http.get("/api/state") as answer:
            assert answer.content_type == "application/json"
            assert evil in (await answer.json())["tenants"]


async def next_event(stream) -> tuple[str, str, dict]:
    """Return name, id and data of the next event."""
    event = mark = ""
    while line := (await stream.content.readline()).decode().rstrip("\n"):
        pass
    while not (line := (await stream.content.readline()).decode().rstrip("\n")).startswith("data:"):
        if line.startswith("event: "):
            event = line.removeprefix("event: ")
        if line.startswith("id: "):
            mark = line.removeprefix("id: ")
    return event, mark, json.loads(line.removeprefix("data: "))


async def test_changes_come_by_themselves() -> None:
    """A reader that knows a revision gets what came after it, and only that."""
    async with a_site() as site:
        site.feed.take(a_window(20))
        state = await site.json("/api/state")
        async with site.http.get(f"/api/events?after={state['name']}-{state['revision']}") as stream:
            assert stream.content_type == "text/event-stream"
            site.feed.take(a_window(10))
            event, mark, change = await next_event(stream)
            assert event == "change"
            assert mark == f"{state['name']}-{change['revision']}"
            assert len(change["windows"]) == 1


async def test_a_reader_of_another_process_gets_everything() -> None:
    """After a restart revisions begin anew, so what it knows says nothing."""
    async with a_site() as site:
        site.feed.take(a_window(20))
        async with site.http.get("/api/events", headers={"Last-Event-ID": "0000-7"}) as stream:
            event, _, state = await next_event(stream)
            assert event == "state"
            assert len(state["windows"]) == 1


async def test_readers_are_bounded() -> None:
    """One more than fit is told to come back later."""
    async with a_site() as site:
        streams = [await site.http.get("/api/events") for _ in range(ops_server.MOST_READERS)]
        async with site.http.get("/api/events") as answer:
            assert answer.status == 503
            assert "Retry-After" in answer.headers
        streams.pop().close()
        for stream in streams:
            stream.close()


async def test_event_streams_end_when_the_worker_stops() -> None:
    """The HTTP server need not wait for readers that never leave."""
    async with a_site() as site:
        stream = await site.http.get("/api/events")
        site.server.stop()
        async with asyncio.timeout(20):
            await stream.content.read()
        stream.close()


async def test_pictures_come_by_their_token() -> None:
    """The tokens of the listed verdicts open image and overlay; the picture may be kept for a while."""
    store = MemoryStore({sample.IMAGES_BUCKET, sample.OVERLAYS_BUCKET})
    async with a_site(store=store) as site:
        for record in sample.a_day(datetime.now(UTC), hours=1, verdicts_a_minute=4):
            site.feed.take(record)
        for n in range(12):
            store.put(sample.IMAGES_BUCKET, f"a/{n}.jpg", sample.some_picture(n), content_type="", deadline_s=1)
            store.put(
                sample.OVERLAYS_BUCKET, f"overlays/{n}.webp", sample.some_overlay(n), content_type="", deadline_s=1
            )
        verdicts = (await site.json("/api/state"))["verdicts"]
        seen = next(one for one in verdicts if one["overlay"])
        for path in (f"/api/thumbnail/{seen['picture']}", f"/api/overlay/{seen['overlay']}"):
            async with site.http.get(path) as answer:
                assert (answer.status, answer.content_type) == (200, "image/webp")
                assert answer.headers["Cache-Control"] == "private, max-age=600"
        async with site.http.get(f"/api/overlay/{seen['picture']}") as answer:
            assert answer.status == 403


async def test_a_picture_that_is_not_to_be_had_is_a_placeholder() -> None:
    """An object that is gone, or a store that is away, gives a picture that says so, and the page no error."""
    store = MemoryStore({sample.IMAGES_BUCKET, sample.OVERLAYS_BUCKET})
    async with a_site(store=store) as site:
        for record in sample.a_day(datetime.now(UTC), hours=1, verdicts_a_minute=1):
            site.feed.take(record)
        token = (await site.json("/api/state"))["verdicts"][0]["picture"]
        async with site.http.get(f"/api/thumbnail/{token}") as answer:
            assert (answer.status, answer.content_type) == (200, "image/svg+xml")
            assert answer.headers["X-DeepTrace-Code"] == "object_not_found"
        with store.outage():
            async with site.http.get(f"/api/thumbnail/{token}") as answer:
                assert answer.headers["X-DeepTrace-Code"] == "store_unavailable"


async def test_a_foreign_bucket_gets_no_token() -> None:
    """A verdict that names a bucket of somebody else is listed without a picture."""
    async with a_site(store=MemoryStore({sample.IMAGES_BUCKET, sample.OVERLAYS_BUCKET})) as site:
        site.feed.take(sample.record(topics.VERDICTS, sample.verdict(1).to_bytes(), datetime.now(UTC)))
        (listed,) = (await site.json("/api/state"))["verdicts"]
        assert listed["picture"] is None


async def test_without_a_store_the_page_says_so() -> None:
    """No token is handed out, and the reason is there to be shown."""
    async with a_site() as site:
        site.feed.take(sample.record(topics.VERDICTS, sample.verdict(1).to_bytes(), datetime.now(UTC)))
        state = await site.json("/api/state")
        assert state["verdicts"][0]["picture"] is None
        assert "no credentials" in state["no_pictures"]
