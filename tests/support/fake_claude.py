"""The HTTP of the Claude API on loopback: answers as it is told, and keeps what it was sent."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web

ERRORS = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 500: "api_error"}
ERRORS[529] = "overloaded_error"

Behaviour = Callable[["FakeClaude", web.Request, dict[str, Any]], Any]


def truthful(body: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that holds nothing but what was asked about."""
    facts = json.loads(body["messages"][0]["content"])
    return {
        "verdict": facts["verdict"],
        "summary": f"The result is {facts['verdict']}.",
        "evidence": ["probability"],
        "caution": "simulated_model" if facts["model"]["trained_on_simulated_images"] else "weak_evidence",
    }


def message(
    text: str, *, stop_reason: str = "end_turn", usage: tuple[int, int] = (700, 90), thinking: bool = False
) -> Any:
    """Return a body of the Messages API."""
    blocks = [{"type": "thinking", "thinking": "", "signature": "x"}] if thinking else []
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": [*blocks, {"type": "text", "text": text}],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": usage[0], "output_tokens": usage[1]},
    }


def ok(changes: dict[str, Any] | None = None, **options: Any) -> Behaviour:
    """Answer truthfully, but for `changes`."""
    return lambda _fake, _request, body: web.json_response(
        message(json.dumps(truthful(body) | (changes or {})), **options)
    )


def text(written: str, **options: Any) -> Behaviour:
    """Answer with `written` where a form was asked for."""
    return lambda _fake, _request, _body: web.json_response(message(written, **options))


def raw(content: bytes, *, content_type: str = "application/json") -> Behaviour:
    """Answer 200 with bytes that are no answer of the API."""
    return lambda _fake, _request, _body: web.Response(body=content, content_type=content_type)


def error(status: int, *, retry_after: str | None = None) -> Behaviour:
    """Answer with an error that repeats key and question, as a careless gateway may."""

    def answer(_fake: "FakeClaude", request: web.Request, body: dict[str, Any]) -> web.Response:
        said = f"{dict(request.headers)} {body}"
        return web.json_response(
            {"type": "error", "error": {"type": ERRORS.get(status, "api_error"), "message": said}},
            status=status,
            headers={} if retry_after is None else {"retry-after": retry_after},
        )

    return answer


def redirect(location: str) -> Behaviour:
    """Answer 307: go there, with all that you carry."""
    return lambda _fake, _request, _body: web.Response(status=307, headers={"location": location})


async def hang(fake: "FakeClaude", request: web.Request, body: dict[str, Any]) -> web.Response:
    """Answer only when the fake is told to let go."""
    await fake.let_go.wait()
    return ok()(fake, request, body)


async def trickle(fake: "FakeClaude", request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
    """Answer a byte at a time, without end: each of them is in time."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    while not fake.let_go.is_set():
        await answer.write(b" ")
        await asyncio.sleep(0.05)
    return answer


class FakeClaude:
    """`async with FakeClaude() as fake`; answers with `script` in order, then with `otherwise` for ever."""

    def __init__(self, *script: Behaviour, otherwise: Behaviour | None = None) -> None:
        self.script = deque(script)
        self.otherwise = otherwise or ok()
        self.requests: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.model_status = 200
        self.let_go = asyncio.Event()
        self.at_once = 0
        self.most_at_once = 0
        app = web.Application()
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_get("/v1/models/{model}", self._model)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.let_go.set()
        await self._runner.cleanup()

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        self.raw.append(await request.read())
        body = json.loads(self.raw[-1])
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = (self.script.popleft() if self.script else self.otherwise)(self, request, body)
            return await answer if asyncio.iscoroutine(answer) else answer
        finally:
            self.at_once -= 1

    async def _model(self, request: web.Request) -> web.Response:
        if self.model_status != 200:
            return error(self.model_status)(self, request, {})
        name = request.match_info["model"]
        return web.json_response(
            {"type": "model", "id": name, "display_name": name, "created_at": "2026-10-07T00:00:00Z"}
        )
