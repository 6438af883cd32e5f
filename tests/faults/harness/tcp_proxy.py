"""A TCP proxy that behaves as badly as it is told: holds bytes back, delays them, lets them trickle, stops after an answer's headers."""

import asyncio
import time
from dataclasses import dataclass, replace

from faults.harness.relay import Relay, Wire

SLICES_A_SECOND = 10
LOOK_AGAIN_S = 0.02
HEADERS_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Line:
    """How bytes travel. `hold_up` stops those of the client, `hold_down` those of the server: they wait here, as lost packets are sent again.

    `hang_after_headers` lets an HTTP answer through up to the end of its headers, then nothing more on that connection.
    """

    hold_up: bool = False
    hold_down: bool = False
    latency_s: float = 0.0
    bytes_per_s: float | None = None
    hang_after_headers: bool = False


CLEAR = Line()


class TcpProxy(Relay):
    """Passes bytes both ways as `line` says; a change of it holds at once, for connections that are open too."""

    def __init__(self, target_port: int, *, port: int | None = None) -> None:
        self.line = CLEAR
        super().__init__(target_port, port=port)

    def clear(self) -> None:
        """Pass everything at once, to everybody."""
        self.line = CLEAR
        self.admit()

    def blackhole(self, *, up: bool = True, down: bool = True) -> None:
        """Let nothing through, or nothing in one direction; connections stay open and new ones are accepted."""
        self.line = replace(self.line, hold_up=up, hold_down=down)

    async def _serve(self, client: Wire, server: Wire) -> None:
        ways = [asyncio.ensure_future(self._up(client, server)), asyncio.ensure_future(self._down(server, client))]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _up(self, client: Wire, server: Wire) -> None:
        while data := await client.read():
            while self.line.hold_up:
                await asyncio.sleep(LOOK_AGAIN_S)
            await server.write(data)
        server.finish()

    async def _down(self, server: Wire, client: Wire) -> None:
        """Deliver what the server says: a chunk leaves `latency_s` after it came, however many are on their way."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=16)
        delivering = asyncio.ensure_future(self._deliver(queue, client))
        try:
            while data := await server.read():
                await queue.put((time.monotonic(), data))
            await queue.put((time.monotonic(), b""))
            await delivering
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)

    async def _deliver(self, queue: "asyncio.Queue[tuple[float, bytes]]", client: Wire) -> None:
        hung = False
        while True:
            came_at, data = await queue.get()
            await asyncio.sleep(max(0.0, came_at + self.line.latency_s - time.monotonic()))
            if not data:
                client.finish()
                return
            while self.line.hold_down or (hung and self.line.hang_after_headers):
                await asyncio.sleep(LOOK_AGAIN_S)
            if self.line.hang_after_headers and (end := data.find(HEADERS_END)) >= 0:
                await client.write(data[: end + len(HEADERS_END)])
                data, hung = data[end + len(HEADERS_END) :], True
                while self.line.hang_after_headers:
                    await asyncio.sleep(LOOK_AGAIN_S)
            await self._trickle(client, data)

    async def _trickle(self, client: Wire, data: bytes) -> None:
        while data:
            rate = self.line.bytes_per_s
            if rate is None:
                await client.write(data)
                return
            size = max(1, int(rate / SLICES_A_SECOND))
            await client.write(data[:size])
            data = data[size:]
            await asyncio.sleep(size / rate)
