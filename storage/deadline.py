"""HTTP connections whose requests end at a deadline, however slowly the other side trickles.

A socket timeout bounds the silence between two packets: a server that sends one byte a second would hold a fetcher's thread for
hours. Here each send and each receive gets what is left until the deadline, in the status line and the headers as well.
"""

import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_ends_at: ContextVar[float | None] = ContextVar("_ends_at", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End every request that this thread makes in the block `seconds` from now; an outer, earlier deadline stays in force.

    Without a deadline a request may take as long as one silence: the read timeout.
    """
    ends_at, outer = time.monotonic() + seconds, _ends_at.get()
    token = _ends_at.set(ends_at if outer is None else min(ends_at, outer))
    try:
        yield
    finally:
        _ends_at.reset(token)


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return left


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until the deadline, and says after `stop` that nothing more is there."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._silence_s = sock.gettimeout() or 1.0
        ends_at = _ends_at.get()
        self._ends_at = time.monotonic() + self._silence_s if ends_at is None else ends_at
        self._stopped = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._stopped:
            return None
        self._sock.settimeout(min(_left(self._ends_at), self._silence_s))
        return self._raw.readinto(buffer)

    def stop(self) -> None:
        self._stopped = True

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Buffered(io.BufferedReader):
    """Remembers on `close` whether bytes were left that no one had read."""

    left_over = False

    def __init__(self, raw: _DeadlineReader) -> None:
        super().__init__(raw)
        self._reader = raw

    def close(self) -> None:
        if not self.closed:
            self._reader.stop()
            self.left_over = bool(self.peek(1))
        super().close()


class _Socket:
    """All that `http.client.HTTPResponse` wants of a socket: a file to read the answer from."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> _Buffered:
        return _Buffered(_DeadlineReader(self._sock))


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Socket(sock), *args, **kwargs)  # type: ignore[arg-type]

    def read(self, amt: int | None = None) -> bytes:
        stream = self.fp
        data = super().read(amt)
        # What follows a complete body belongs to no answer: the length was a lie, so the body cannot be trusted either.
        if self.isclosed() and isinstance(stream, _Buffered) and stream.left_over:
            raise http.client.HTTPException("bytes follow the end of the body")
        return data


class _DeadlineConnection(HTTPConnection):
    response_class = _DeadlineResponse

    def connect(self) -> None:
        ends_at = _ends_at.get()
        if ends_at is not None:
            left = _left(ends_at)
            self.timeout = min(self.timeout, left) if isinstance(self.timeout, int | float) else left
        super().connect()

    def send(self, data: Any) -> None:
        if self.sock is None and self.auto_open:
            self.connect()
        ends_at = _ends_at.get()
        if ends_at is not None and self.sock is not None:
            # A large body may take longer than the connect timeout, which urllib3 leaves set while it sends.
            self.sock.settimeout(_left(ends_at))
        super().send(data)


class _DeadlineSecureConnection(_DeadlineConnection, HTTPSConnection):
    pass


class _DeadlinePool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _DeadlineSecurePool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineSecureConnection


class DeadlinePoolManager(urllib3.PoolManager):
    """A connection pool that keeps to `deadline`, never retries and never follows a redirect by itself."""

    pool_classes: ClassVar = {"http": _DeadlinePool, "https": _DeadlineSecurePool}

    def __init__(
        self, *, hosts: int, pool_size: int, connect_timeout_s: float, read_timeout_s: float, **tls: Any
    ) -> None:
        super().__init__(
            num_pools=hosts,
            maxsize=pool_size,
            timeout=urllib3.Timeout(connect=connect_timeout_s, read=read_timeout_s),
            retries=False,
            **tls,
        )
        self.pool_classes_by_scheme = self.pool_classes
