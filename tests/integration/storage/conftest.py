"""A server that says exactly what a test tells it to, byte by byte: real sockets, no S3."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from storage.minio_store import MinioStore

SECRET = "canary-secret-key"


class ScriptedServer:
    """Hands every request's head and body to `script`, which answers on the socket as it likes."""

    def __init__(self, script: Callable[["ScriptedServer", socket.socket, bytes], None]) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.closing = threading.Event()
        self._script = script
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(client)
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as stream:
                while head := self._read_request(stream):
                    self.requests.append(head)
                    self._script(self, client, head)
        except OSError:
            pass

    @staticmethod
    def _read_request(stream) -> bytes:
        head = b""
        while line := stream.readline():
            head += line
            if line == b"\r\n":
                break
        lengths = [
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        ]
        return head + stream.read(lengths[0] if lengths else 0)

    def trickle(self, client: socket.socket, data: bytes) -> None:
        """Send a byte every 20 ms until the test ends."""
        for byte in data:
            if self.closing.wait(0.02):
                return
            client.sendall(bytes([byte]))

    def close(self) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._sockets:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Return a whole HTTP answer; `headers` replace the default Content-Length."""
    fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def says(*answers: bytes) -> Callable[[ScriptedServer, socket.socket, bytes], None]:
    """A script that gives the answers one after the other, the last one for ever."""
    left = list(answers)

    def script(_server: ScriptedServer, client: socket.socket, _request: bytes) -> None:
        client.sendall(left.pop(0) if len(left) > 1 else left[0])

    return script


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Start scripted servers; they end with the test."""
    servers = []

    def start(*script) -> ScriptedServer:
        chosen = script[0] if callable(script[0]) else says(*script)
        servers.append(ScriptedServer(chosen))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., MinioStore]]:
    """Make stores; they are closed with the test."""
    stores = []

    def make(endpoint: str, **options) -> MinioStore:
        settings = {"secure": False, "connect_timeout_s": 1.0, "read_timeout_s": 3.0, "pool_size": 2, **options}
        stores.append(
            MinioStore(endpoint, access_key="canary-access", secret_key=SECRET, allowed_buckets=["images"], **settings)
        )
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def http_answer() -> Callable[..., bytes]:
    """`answer`, for tests to call."""
    return answer
