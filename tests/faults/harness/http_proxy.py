"""An S3 server's lies: a proxy that reads HTTP and answers wrongly, seeded, as often as it is told. Nothing is checked by it or decoded."""

import asyncio
import random
import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

from faults.harness.relay import Relay, Wire

Lie = Literal["refuse", "refuse_late", "flip", "short", "cut", "etag"]
"""`refuse`: an error instead of asking the server. `refuse_late`: the server does it, the answer says that it failed.
`flip`: one byte of the body is another. `short`: half the body, with a length that says so. `cut`: half the body, then the connection
ends. `etag`: the body is right, its ETag is not."""

BODY_LIES = frozenset({"flip", "short", "cut", "etag"})
BODILESS = frozenset({204, 304})
STATUS = {429: "Too Many Requests", 500: "Internal Server Error", 503: "Slow Down"}


@dataclass(frozen=True, slots=True)
class Conduct:
    """How often the proxy lies, and how: one of `lies`, drawn anew for each request whose path starts with `path`."""

    share: float = 0.0
    lies: tuple[Lie, ...] = ()
    path: str = "/"
    statuses: tuple[int, ...] = (500, 503, 429)


HONEST = Conduct()


@dataclass(slots=True)
class Message:
    """One request or answer, its body whole."""

    first_line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return a header's value."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def with_header(self, name: str, value: str) -> "Message":
        """Return the message with this header instead of any of its name."""
        others = [(key, old) for key, old in self.headers if key.lower() != name.lower()]
        return replace(self, headers=[*others, (name, value)])

    def to_bytes(self) -> bytes:
        """Return it as it goes over the wire; the body was read whole, so its length is said in a header where it has one."""
        head = "".join(f"{key}: {value}\r\n" for key, value in self.headers)
        return f"{self.first_line}\r\n{head}\r\n".encode("latin-1") + self.body


class HttpProxy(Relay):
    """Passes requests on one by one and may lie about each answer. `told` counts the lies by kind."""

    def __init__(self, target_port: int, *, port: int | None = None, seed: int = 7) -> None:
        self.conduct = HONEST
        self.told: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self._draw = random.Random(seed)
        self._lock = threading.Lock()
        super().__init__(target_port, port=port)

    async def _serve(self, client: Wire, server: Wire) -> None:
        while (request := await read_message(client)) is not None:
            method, path, _ = request.first_line.split(" ", 2)
            self.requests[method] += 1
            lie = self._lie(method, path)
            if lie == "refuse":
                await client.write(self._refusal(method))
                continue
            await server.write(request.to_bytes())
            answer = await read_message(server, answers=method)
            if answer is None:
                return
            if lie == "refuse_late":
                await client.write(self._refusal(method))
                continue
            said = told(answer, lie)
            if lie == "cut":
                await client.write(said.to_bytes()[: -max(1, len(said.body) // 2)])
                return
            await client.write(said.to_bytes())

    def _lie(self, method: str, path: str) -> Lie | None:
        conduct = self.conduct
        if not conduct.lies or not path.startswith(conduct.path):
            return None
        with self._lock:
            if self._draw.random() >= conduct.share:
                return None
            lie = self._draw.choice(conduct.lies)
        if lie in BODY_LIES and method != "GET":
            return None
        self.told[lie] += 1
        return lie

    def _refusal(self, method: str) -> bytes:
        status = self._draw.choice(self.conduct.statuses)
        body = b"" if method == "HEAD" else b"<Error><Code>SlowDown</Code></Error>"
        return (
            f"HTTP/1.1 {status} {STATUS[status]}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


def told(answer: Message, lie: Lie | None) -> Message:
    """Return `answer` as a liar gives it; only a 200 with a body is lied about."""
    status = int(answer.first_line.split(" ", 2)[1])
    if lie is None or status != 200 or not answer.body:
        return answer
    if lie == "flip":
        at = len(answer.body) // 2
        return replace(answer, body=answer.body[:at] + bytes([answer.body[at] ^ 0xFF]) + answer.body[at + 1 :])
    if lie == "short":
        half = answer.body[: len(answer.body) // 2]
        return replace(answer, body=half).with_header("Content-Length", str(len(half)))
    if lie == "etag":
        return answer.with_header("ETag", '"0123456789abcdef0123456789abcdef"')
    return answer


async def read_message(wire: Wire, *, answers: str | None = None) -> Message | None:
    """Return the next message, or None at the end. `answers` names the method of the request that an answer is for.

    Raises:
        EOFError: the connection ended within a message.
    """
    try:
        head = await wire.reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first_line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    message = Message(first_line, headers, b"")
    status = int(first_line.split(" ", 2)[1]) if answers else 0
    if answers == "HEAD" or status in BODILESS or 100 <= status < 200:
        return message
    if (message.header("transfer-encoding") or "").lower() == "chunked":
        body = await _chunks(wire)
        plain = [(name, value) for name, value in headers if name.lower() != "transfer-encoding"]
        return Message(first_line, [*plain, ("Content-Length", str(len(body)))], body)
    length = int(message.header("content-length") or 0)
    message.body = await wire.reader.readexactly(length) if length else b""
    return message


async def _chunks(wire: Wire) -> bytes:
    body = b""
    while size := int((await wire.reader.readline()).split(b";")[0], 16):
        body += await wire.reader.readexactly(size)
        await wire.reader.readline()
    while (await wire.reader.readline()).strip():
        pass  # trailers
    return body
