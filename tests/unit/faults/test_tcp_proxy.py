"""The TCP proxy of the fault harness, between a real client and a real server on loopback."""

import contextlib
import socket
import socketserver
import threading
import time

import pytest
from faults.harness.tcp_proxy import Line, TcpProxy

SHORT_S = 0.3
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


class Echo(socketserver.BaseRequestHandler):
    """Answers what it hears."""

    def handle(self):
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                self.request.sendall(data)


class Page(socketserver.BaseRequestHandler):
    """Answers anything with headers and a body, sent together."""

    def handle(self):
        self.request.recv(65536)
        self.request.sendall(HEADERS + b"body")


@contextlib.contextmanager
def before(handler):
    """A proxy before a server that handles connections so."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with TcpProxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()


@pytest.fixture
def proxy():
    with before(Echo) as made:
        yield made


@pytest.fixture
def client(proxy):
    with connected(proxy) as made:
        made.sendall(b"hello")
        assert made.recv(100) == b"hello"
        yield made


def connected(proxy):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def hears_nothing(client):
    """Tell whether nothing comes for a while, not even an end."""
    client.settimeout(SHORT_S)
    try:
        client.recv(100)
    except TimeoutError:
        return True
    finally:
        client.settimeout(5)
    return False


@pytest.mark.parametrize("way", [{"up": True, "down": False}, {"up": False, "down": True}, {}])
def test_a_blackhole_holds_bytes_until_it_is_healed(proxy, client, way):
    """Nothing comes while it lasts, and everything, once, when it is over: as TCP sends lost packets again."""
    proxy.blackhole(**way)
    client.sendall(b"held")
    assert hears_nothing(client)
    proxy.clear()
    assert client.recv(100) == b"held"


def test_refuse_is_a_server_that_is_gone_and_admit_one_that_is_back(proxy, client):
    """What is open ends, what is new is refused; later the same port serves again."""
    proxy.refuse()
    with contextlib.suppress(ConnectionResetError):
        assert client.recv(100) == b""
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.admit()
    with connected(proxy) as again:
        again.sendall(b"back")
        assert again.recv(100) == b"back"


def test_cut_ends_connections_and_serves_new_ones(proxy, client):
    """As a middle box that forgot its table."""
    proxy.cut()
    with contextlib.suppress(ConnectionResetError):
        assert client.recv(100) == b""
    with connected(proxy) as again:
        again.sendall(b"new")
        assert again.recv(100) == b"new"


def test_latency_delays_an_answer_but_not_each_piece_of_it(proxy, client):
    """What is under way together comes together: a delay of a line, not of a queue."""
    proxy.line = Line(latency_s=0.3)
    began = time.monotonic()
    client.sendall(bytes(500_000))
    received = 0
    while received < 500_000:
        received += len(client.recv(65536))
    assert time.monotonic() - began >= 0.3


def test_a_throttled_line_lets_everything_through_slowly(proxy, client):
    """At 2,000 bytes a second, 400 bytes need a fifth of a second, and none is lost."""
    proxy.line = Line(bytes_per_s=2000)
    began = time.monotonic()
    client.sendall(bytes(400))
    received = 0
    while received < 400:
        received += len(client.recv(65536))
    assert time.monotonic() - began >= 0.1
    assert received == 400


def test_an_answer_can_hang_after_its_headers():
    """The headers come, the body does not until the fault is over."""
    with before(Page) as proxy, connected(proxy) as client:
        proxy.line = Line(hang_after_headers=True)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(100) == HEADERS
        assert hears_nothing(client)
        proxy.clear()
        assert client.recv(100) == b"body"
