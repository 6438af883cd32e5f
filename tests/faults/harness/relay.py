"""A listener on loopback between a client and a server, in a thread of its own; what happens to a connection is a subclass's."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from typing import Any, Self

from streams.stack.ports import LOOPBACK, free_ports

CHUNK = 64 * 1024
START_S = 10.0


class Relay:
    """Accepts connections for `target_port` on `port` and hands them to `_serve`. Its methods may be called from any thread.

    `refuse` closes the port and ends every connection, `admit` opens the same port again: a server that is gone, and back.
    """

    def __init__(self, target_port: int, *, port: int | None = None) -> None:
        self.target_port = target_port
        self.port = port or free_ports(1)[0]
        self.accepted = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"relay-{self.port}", daemon=True)
        self._thread.start()
        self.admit()

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"{LOOPBACK}:{self.port}"

    def admit(self) -> None:
        """Listen, if it does not yet."""
        self._call(self._admit())

    def refuse(self) -> None:
        """Listen no more, and end what is connected: the next connection is refused by the kernel."""
        self._call(self._refuse())

    def cut(self) -> None:
        """Reset every connection; new ones are served."""
        self._call(self._cut())

    def close(self) -> None:
        """End everything, the thread included."""
        if not self._thread.is_alive():
            return
        self._call(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _serve(self, client: "Wire", server: "Wire") -> None:
        raise NotImplementedError

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(START_S)

    async def _admit(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port, limit=CHUNK, backlog=512)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()  # not wait_closed(): it waits for connections, which are ended below
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        ended = list(self._connections)
        for connection in ended:
            connection.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        client, server = Wire(reader, writer), None
        try:
            server = Wire(*await asyncio.open_connection(LOOPBACK, self.target_port, limit=CHUNK))
            await self._serve(client, server)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # either end went, or we were told to end it: the other end hears of it by the reset below
        finally:
            self._connections.discard(task)
            client.reset()
            if server is not None:
                server.reset()


class Wire:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def read(self) -> bytes:
        """Return what came, empty at the end."""
        return await self.reader.read(CHUNK)

    async def write(self, data: bytes) -> None:
        """Send, and wait while the other side does not take it."""
        self.writer.write(data)
        await self.writer.drain()

    def finish(self) -> None:
        """Say that nothing more comes."""
        with contextlib.suppress(OSError):
            if self.writer.can_write_eof():
                self.writer.write_eof()

    def reset(self) -> None:
        """End it at once, where something is still unsent or unread as a reset."""
        self.writer.transport.abort()
