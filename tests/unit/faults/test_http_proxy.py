"""The lying proxy of the fault harness, between a real HTTP client and a real server on loopback."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import urllib3
from faults.harness.http_proxy import Conduct, HttpProxy

BODY = bytes(range(200))
ETAG = '"d41d8cd98f00b204e9800998ecf8427e"'


class Store(BaseHTTPRequestHandler):
    """Answers GET with the same bytes always, and remembers what was put."""

    protocol_version = "HTTP/1.1"
    puts: tuple[bytes, ...] = ()

    def do_GET(self):
        self.send_response(200)
        self.send_header("ETag", ETAG)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", "12345")
        self.end_headers()

    def do_PUT(self):
        type(self).puts += (self.rfile.read(int(self.headers["Content-Length"])),)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy():
    Store.puts = ()
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with HttpProxy(server.server_address[1], seed=1) as made:
            yield made
        server.shutdown()


@pytest.fixture
def ask(proxy):
    """Ask the proxy, on one connection that is kept."""
    with urllib3.PoolManager(retries=False, timeout=5) as http:
        yield lambda method, path, **more: http.request(method, f"http://{proxy.address}{path}", **more)


def test_honest_answers_are_passed_on_whole(ask):
    """Headers, bodies of known length and chunked ones, answers without a body, and uploads; all on one connection."""
    assert ask("GET", "/images/a").data == BODY
    assert ask("GET", "/chunked").data == b"hello world"
    assert ask("HEAD", "/images/a").headers["content-length"] == "12345"
    assert ask("PUT", "/images/a", body=b"new").status == 200
    assert Store.puts == (b"new",)
    assert ask("GET", "/images/a").headers["etag"] == ETAG


def test_a_flipped_byte_is_the_only_difference(proxy, ask):
    """The length is right and the ETag is right: only a hash can tell."""
    proxy.conduct = Conduct(share=1.0, lies=("flip",), path="/images/")
    data = ask("GET", "/images/a").data
    assert [n for n, (said, true) in enumerate(zip(data, BODY, strict=True)) if said != true] == [100]
    assert proxy.told == {"flip": 1}


def test_a_short_body_says_a_short_length(proxy, ask):
    """The client sees a whole answer of half the bytes."""
    proxy.conduct = Conduct(share=1.0, lies=("short",))
    assert ask("GET", "/images/a").data == BODY[:100]


def test_a_cut_body_ends_the_connection(proxy, ask):
    """The client was promised more than comes."""
    proxy.conduct = Conduct(share=1.0, lies=("cut",))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        ask("GET", "/images/a")


def test_a_wrong_etag_comes_with_the_right_bytes(proxy, ask):
    """Only the header lies."""
    proxy.conduct = Conduct(share=1.0, lies=("etag",))
    answer = ask("GET", "/images/a")
    assert answer.data == BODY
    assert answer.headers["etag"] != ETAG


@pytest.mark.parametrize(("lie", "stored"), [("refuse", ()), ("refuse_late", (b"new",))])
def test_an_error_may_come_before_or_after_the_store_did_it(proxy, ask, lie, stored):
    """The client cannot tell the two apart: 500, 503 or 429 either way."""
    proxy.conduct = Conduct(share=1.0, lies=(lie,))
    assert ask("PUT", "/images/a", body=b"new").status in {500, 503, 429}
    assert Store.puts == stored


def test_only_the_named_path_and_share_are_lied_about(proxy, ask):
    """Seeded: of 100 requests about a third, and none elsewhere."""
    proxy.conduct = Conduct(share=0.3, lies=("flip",), path="/images/")
    wrong = sum(ask("GET", "/images/a").data != BODY for _ in range(100))
    assert wrong == proxy.told["flip"]
    assert 15 < wrong < 45
    assert ask("GET", "/overlays/a").data == BODY


def test_a_server_that_is_gone_ends_the_connection(proxy, ask):
    """No answer is made up."""
    proxy.target_port = 1
    with pytest.raises(urllib3.exceptions.HTTPError):
        ask("GET", "/images/a")
