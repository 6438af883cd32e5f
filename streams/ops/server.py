"""The page over HTTP: itself, a snapshot, its changes as they come, pictures. Everything is GET; nothing can be changed from here."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import web

from schemas.errors import DeepTraceError
from schemas.window import OVERALL
from streams.ops.attention import Attention
from streams.ops.guard import HEADERS, Guard
from streams.ops.page import make_page
from streams.ops.pictures import CONTENT_TYPE, Busy, Pictures
from streams.ops.snapshot import Snapshots, View
from streams.ops.tokens import Kind, TokenRefused, Tokens

MOST_READERS: Final = 32
EVERY_S: Final = 1.0
HEARTBEAT_S: Final = 15.0
SLOW_S: Final = 20.0
"""A reader that does not take what it is sent for so long is let go; its browser comes back and asks for the whole."""
RETRY_MS: Final = 3_000
DEFAULT_RANGE_MS: Final = 6 * 3_600_000
MOST_TEXT: Final = 64
PLACEHOLDER: Final = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="96" height="96" viewBox="0 0 96 96">'
    b'<rect width="96" height="96" fill="#8884"/><path d="M30 30l36 36M66 30L30 66" stroke="#888" stroke-width="4"/></svg>'
)

log = structlog.get_logger(__name__)


class OpsServer:
    """Serves one feed. `stop` ends the event streams, so that the HTTP server need not wait for them."""

    def __init__(
        self,
        snapshots: Snapshots,
        attention: Attention,
        guard: Guard,
        *,
        tokens: Tokens,
        pictures: Pictures | None,
        now_ms: Callable[[], int],
    ) -> None:
        self._snapshots = snapshots
        self._attention = attention
        self._guard = guard
        self._tokens = tokens
        self._pictures = pictures
        self._now_ms = now_ms
        self._page = make_page()
        self._readers = 0
        self._stopped = asyncio.Event()

    def routes(self, app: web.Application) -> None:
        """Add what is served."""
        for path, handler in (
            ("/", self._whole_page),
            ("/api/state", self._state),
            ("/api/events", self._events),
            ("/api/thumbnail/{token}", self._thumbnail),
            ("/api/overlay/{token}", self._overlay),
        ):
            app.router.add_get(path, self._guard(handler))

    def stop(self) -> None:
        """End all event streams."""
        self._stopped.set()

    async def _whole_page(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._page.html,
            content_type="text/html",
            charset="utf-8",
            headers={"Content-Security-Policy": self._page.policy},
        )

    async def _state(self, request: web.Request) -> web.Response:
        self._attention.give()
        try:
            view = self._view(request)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.Response(body=self._snapshots.state(view), content_type="application/json")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        try:
            view = self._view(request)
            after = self._after(request)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        if self._readers >= MOST_READERS:
            return web.json_response({"error": "too many readers"}, status=503, headers={"Retry-After": "30"})
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        self._readers += 1
        try:
            await response.prepare(request)
            await self._send_on(response, view, after)
        except (ConnectionError, TimeoutError) as error:
            log.debug("a reader of the ops page is gone", why=type(error).__name__)
        finally:
            self._readers -= 1
        return response

    async def _send_on(self, response: web.StreamResponse, view: View, after: int) -> None:
        """Send changes, at most one message a `EVERY_S`: nothing waits in a queue for a slow reader, it just gets them together."""
        await self._write(response, f"retry: {RETRY_MS}\n\n".encode())
        said_at = time.monotonic()
        while not self._stopped.is_set():
            self._attention.give()
            revision = self._snapshots.revision
            # A reader that knows another process has to begin anew; the page asks for the whole state then.
            changes = self._snapshots.state(view) if after < 0 else self._snapshots.changes(view, after=after)
            if changes is not None:
                event = b"state" if after < 0 else b"change"
                mark = f"{self._snapshots.name}-{revision}".encode()
                await self._write(response, b"id: " + mark + b"\nevent: " + event + b"\ndata: " + changes + b"\n\n")
                after, said_at = revision, time.monotonic()
            elif time.monotonic() - said_at >= HEARTBEAT_S:
                await self._write(response, b": still here\n\n")
                said_at = time.monotonic()
            try:
                await asyncio.wait_for(self._stopped.wait(), EVERY_S)
            except TimeoutError:
                continue

    @staticmethod
    async def _write(response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(SLOW_S):
            await response.write(data)

    async def _thumbnail(self, request: web.Request) -> web.Response:
        return await self._picture("image", request)

    async def _overlay(self, request: web.Request) -> web.Response:
        return await self._picture("overlay", request)

    async def _picture(self, kind: Kind, request: web.Request) -> web.Response:
        self._attention.give()
        try:
            place = self._tokens.read(kind, request.match_info["token"])
        except TokenRefused as error:
            return web.Response(status=403, text=f"{error}\n")
        if self._pictures is None:
            return _placeholder("no pictures")
        try:
            picture = await self._pictures.small(place)
        except Busy:
            return web.Response(status=429, text="too many at once\n", headers={"Retry-After": "2"})
        except DeepTraceError as error:
            return _placeholder(error.code)
        except Exception as error:  # noqa: BLE001  # one picture must not cost more than itself
            log.warning("a picture of the ops page failed", error=type(error).__name__)
            return _placeholder("unexpected")
        kept = {"Cache-Control": "private, max-age=600"}
        return web.Response(body=picture, content_type=CONTENT_TYPE, headers=kept)

    def _view(self, request: web.Request) -> View:
        """Return what is asked for; raises ValueError for what is no such thing."""
        asked = request.query
        tenant, window = asked.get("tenant", OVERALL), asked.get("window") or None
        if len(tenant) > MOST_TEXT or len(window or "") > MOST_TEXT:
            raise ValueError("no such tenant or window")
        until = _moment(asked.get("until"))
        since = _moment(asked.get("since"))
        since = (until or self._now_ms()) - DEFAULT_RANGE_MS if since is None else since
        if until is not None and until <= since:
            raise ValueError("until must be later than since")
        return View(tenant, window, since, until)

    def _after(self, request: web.Request) -> int:
        """Return the revision after which changes are wanted; -1 where it is one of another process."""
        mark = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        name, _, revision = mark.rpartition("-")
        known = name == self._snapshots.name and revision.isascii() and revision.isdigit() and len(revision) < 19  # noqa: PLR2004
        return min(int(revision), self._snapshots.revision) if known else -1


def _moment(text: str | None) -> int | None:
    """Return milliseconds since 1970; raises ValueError for what is no such number."""
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):  # noqa: PLR2004  # the year 33658
        raise ValueError("since and until are milliseconds since 1970")
    return int(text)


def _placeholder(code: str) -> web.Response:
    """Return a picture that says there is none: an error status would fill the browser's console."""
    return web.Response(
        body=PLACEHOLDER, content_type="image/svg+xml", headers={"X-DeepTrace-Code": code, "Cache-Control": "no-store"}
    )
