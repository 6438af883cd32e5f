"""`MinioStore` against broken and slow servers: every fault ends in time, tells no secret, and harms no later request."""

import socket
import threading
import time
import traceback

import pytest

from schemas.errors import (
    ObjectTooLarge,
    StoreUnavailable,
)

DONE = {"content_type": "image/webp", "deadline_s": 2.0}


def fetch(store, key="jane-doe.jpg", *, max_bytes=1000, deadline_s=2.0, **pins):
    return store.get("images", key, max_bytes=max_bytes, deadline_s=deadline_s, **pins)


def closes_after(data):
    def script(_server, client, _request):
        client.sendall(data)
        client.shutdown(socket.SHUT_RDWR)

    return script


def resets_after(data):
    def script(_server, client, _request):
        client.sendall(data)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        raise ConnectionError("the end of the connection, which is now a reset")

    return script


@pytest.mark.parametrize("ends", [closes_after, resets_after])
@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nno length: this may be any part of it",
        b"SSH-2.0-OpenSSH_9.9\r\n",
    ],
)
def test_an_answer_that_ends_early_is_no_object(serve, connect, start, ends):
    """However an answer breaks off, nothing is returned, and the reference waits."""
    with pytest.raises(StoreUnavailable):
        fetch(connect(serve(ends(start)).endpoint))


@pytest.mark.parametrize("size", [4, 8192, 60_000])
def test_bytes_after_the_end_of_the_body_spoil_it(serve, connect, http_answer, size):
    """A length that is too small makes a shorter object of a longer one."""
    server = serve(http_answer(200, b"x" * size, Content_Length=str(size - 1)), http_answer(200, b"fine"))
    store = connect(server.endpoint)
    with pytest.raises(StoreUnavailable):
        fetch(store, max_bytes=100_000)
    assert fetch(store).data == b"fine"


def test_a_refused_connection_is_an_outage(connect):
    """Nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(StoreUnavailable, match="refused"):
        fetch(connect(endpoint))


def test_after_a_fault_the_next_request_gets_its_own_answer(serve, connect, http_answer):
    """The rest of a body that was too large is never taken for the next object."""
    big = http_answer(200, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong" * 300)
    store = connect(serve(big, http_answer(200, b"right")).endpoint, pool_size=1)
    with pytest.raises(ObjectTooLarge):
        fetch(store)
    assert fetch(store).data == b"right"


def test_a_connection_that_the_server_dropped_is_replaced(serve, connect, http_answer):
    """An idle connection ends now and then; that is no fault of the next reference."""
    dropped = threading.Event()

    def once(server, client, _request):
        client.sendall(http_answer(200, b"one"))
        client.shutdown(socket.SHUT_RDWR)
        dropped.set()

    server = serve(once)
    store = connect(server.endpoint)
    assert fetch(store).data == b"one"
    assert dropped.wait(2)
    assert fetch(store).data == b"one"
    assert server.connections == 2


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n"


@pytest.mark.parametrize(
    ("at_once", "slowly"),
    [
        (b"", b""),
        (b"", b"HTTP/1.1 200 OK" * 100),
        (b"HTTP/1.1 200 OK\r\n", b"X-Slow: 1\r\n" * 100),
        (HEAD + b"\r\n", b"x" * 500),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 100),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 500\r\n\r\n", b"x" * 500),
    ],
    ids=["silent", "status line", "headers", "body", "chunks", "error document"],
)
def test_a_trickling_server_holds_no_thread_past_the_deadline(serve, connect, at_once, slowly):
    """A byte every 20 ms breaks no read timeout; the deadline ends it all the same."""

    def script(server, client, _request):
        client.sendall(at_once)
        server.trickle(client, slowly)
        server.closing.wait(10)

    store = connect(serve(script).endpoint)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        fetch(store, deadline_s=0.4)
    assert 0.3 < time.monotonic() - began < 1.5


def test_a_server_that_does_not_read_holds_no_put_past_the_deadline(connect):
    """The body of a put is bounded too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts in the kernel, reads never
        store = connect(f"127.0.0.1:{listener.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.put("images", "a", b"x" * (32 << 20), content_type="image/webp", deadline_s=0.4)
        assert 0.3 < time.monotonic() - began < 1.5


def test_a_put_may_take_longer_than_the_connect_timeout(connect, http_answer):
    """A server that begins to read late, but before the deadline, gets the whole body."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def read_late():
            threading.Event().wait(0.5)
            client, _ = listener.accept()
            with client, client.makefile("rb") as stream:
                while stream.readline() != b"\r\n":
                    pass
                stream.read(32 << 20)
                client.sendall(http_answer(200, b"", ETag='"e"'))

        reader = threading.Thread(target=read_late, daemon=True)
        reader.start()
        store = connect(f"127.0.0.1:{listener.getsockname()[1]}", connect_timeout_s=0.2)
        made = store.put("images", "a", b"x" * (32 << 20), content_type="image/webp", deadline_s=20)
        reader.join(5)
    assert made.etag == "e"


def test_silence_ends_at_the_read_timeout(serve, connect):
    """A long deadline does not mean waiting long for a server that says nothing at all."""
    store = connect(serve(lambda server, *_: server.closing.wait(10)).endpoint, read_timeout_s=0.3)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        fetch(store, deadline_s=30)
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("call", ["head", "list", "delete", "bucket_exists", "ensure_bucket"])
def test_calls_without_a_deadline_end_after_the_read_timeout(serve, connect, call):
    """A listing or a head that trickles ends as well."""

    def script(server, client, _request):
        client.sendall(HEAD)
        server.trickle(client, b"X-Slow: 1\r\n" * 100)

    store = connect(serve(script).endpoint, read_timeout_s=0.4)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        list(store.list("images")) if call == "list" else getattr(store, call)(
            *(("images", "a") if call in {"head", "delete"} else ("images",))
        )
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    "script",
    [closes_after(b""), resets_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")],
    ids=["closed", "reset"],
)
@pytest.mark.parametrize(
    "call", ["get", "put", "put_if_absent", "head", "list", "delete", "bucket_exists", "ensure_bucket"]
)
def test_no_error_tells_a_secret_or_a_key(serve, connect, script, call):
    """Neither the credentials nor the object's name stand in the error, its repr, or its printed traceback."""
    store = connect(serve(script).endpoint)
    calls = {
        "get": lambda: fetch(store),
        "put": lambda: store.put("images", "jane-doe.jpg", b"x", **DONE),
        "put_if_absent": lambda: store.put_if_absent("images", "jane-doe.jpg", b"x", **DONE),
        "head": lambda: store.head("images", "jane-doe.jpg"),
        "list": lambda: list(store.list("images", "jane-doe")),
        "delete": lambda: store.delete("images", "jane-doe.jpg"),
        "bucket_exists": lambda: store.bucket_exists("images"),
        "ensure_bucket": lambda: store.ensure_bucket("images"),
    }
    with pytest.raises(StoreUnavailable) as caught:
        calls[call]()
    error = caught.value
    told = (
        "".join(traceback.format_exception(error)).partition("The above exception")[0]
        + repr(error)
        + error.why
        + repr(store)
    )
    said = "\n".join(line for line in told.splitlines() if not line.startswith("    "))  # without lines of source
    assert "canary" not in said
    assert "jane" not in said
