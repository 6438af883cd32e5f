"""`MinioStore` against odd answers: each becomes one of our errors, or exactly the stored bytes."""

import gzip
import threading

import pytest

from schemas.errors import (
    BucketMissing,
    ObjectChanged,
    ObjectDenied,
    ObjectNotFound,
    ObjectTooLarge,
    StoreUnavailable,
)


def fetch(store, key="jane-doe.jpg", *, max_bytes=1000, deadline_s=2.0, **pins):
    return store.get("images", key, max_bytes=max_bytes, deadline_s=deadline_s, **pins)


def error_document(code):
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Key>jane-doe.jpg</Key></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", ObjectNotFound),
        (404, "NoSuchBucket", BucketMissing),
        (403, "AccessDenied", ObjectDenied),
        (412, "PreconditionFailed", ObjectChanged),
        (503, "SlowDown", StoreUnavailable),
        (429, "TooManyRequests", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
        (403, "RequestTimeTooSkewed", StoreUnavailable),
    ],
)
def test_an_error_document_becomes_our_error(serve, connect, http_answer, status, code, kind):
    """The code in the document decides, and the connection is used again."""
    server = serve(http_answer(status, error_document(code)), http_answer(200, b"fine"))
    store = connect(server.endpoint)
    with pytest.raises(kind) as caught:
        fetch(store)
    assert type(caught.value) is kind
    assert fetch(store).data == b"fine"
    assert server.connections == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("same_host", [True, False])
def test_a_redirect_is_never_followed(serve, connect, http_answer, status, same_host):
    """A store cannot send us to another object or host, for an object or for a listing."""
    other = serve(http_answer(200, b"stolen"))
    location = "/images/other" if same_host else f"http://{other.endpoint}/images/other"
    server = serve(http_answer(status, b"", Location=location))
    store = connect(server.endpoint)
    for call in (lambda: fetch(store), lambda: list(store.list("images"))):
        with pytest.raises(StoreUnavailable):
            call()
    assert other.requests == []
    assert [b"other" in request for request in server.requests] == [False, False]


def test_nothing_is_tried_twice(serve, connect, http_answer):
    """The pipeline retries; a second try in here would multiply with its own."""
    server = serve(http_answer(503, error_document("SlowDown")))
    with pytest.raises(StoreUnavailable):
        fetch(connect(server.endpoint))
    assert len(server.requests) == 1


def test_a_body_larger_than_the_cap_is_not_read(serve, connect, http_answer):
    """The announced length alone refuses it: not one byte of the body is sent here, and still the answer comes at once."""
    server = serve(http_answer(200, b"", Content_Length="1000000000000"))
    with pytest.raises(ObjectTooLarge):
        fetch(connect(server.endpoint))


def test_a_body_of_no_announced_length_is_counted(serve, connect):
    """A chunked body is refused once it exceeds the cap, although it would never end."""

    gone = threading.Event()

    def endless(server, client, _request):
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while not server.closing.is_set():
                client.sendall(b"64\r\n" + b"x" * 100 + b"\r\n")
        except OSError:
            gone.set()

    with pytest.raises(ObjectTooLarge):
        fetch(connect(serve(endless).endpoint))
    assert gone.wait(2), "the connection was left open, with the rest of the body in it"


@pytest.mark.parametrize("size", [999, 1000])
def test_a_body_up_to_the_cap_is_read(serve, connect, http_answer, size):
    """The cap itself is allowed."""
    assert len(fetch(connect(serve(http_answer(200, b"x" * size)).endpoint)).data) == size


def test_a_chunked_body_is_read_whole(serve, connect, http_answer):
    """Chunks are put together."""
    chunked = http_answer(200, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Content_Length="", Transfer_Encoding="chunked")
    assert fetch(connect(serve(chunked).endpoint)).data == b"abcde"


def test_the_stored_bytes_are_not_unpacked(serve, connect, http_answer):
    """A Content-Encoding is data of the uploader: undone, it would be a bomb past the cap and break the sha256."""
    packed = gzip.compress(b"x" * 100_000)
    server = serve(http_answer(200, packed, Content_Encoding="gzip"))
    assert fetch(connect(server.endpoint)).data == packed


def test_a_head_tells_a_missing_bucket_from_a_missing_object(serve, connect, http_answer):
    """A HEAD's 404 has no document; the bucket is asked for."""

    def script(_server, client, request):
        client.sendall(http_answer(404))

    with pytest.raises(BucketMissing):
        connect(serve(script).endpoint).head("images", "a")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<ListBucketResult",
        b"<html>gateway</html>",
        b"\xff\xfe",
        b"<ListBucketResult><Contents/></ListBucketResult>",
    ],
)
def test_a_listing_in_no_known_form_is_an_outage(serve, connect, http_answer, body):
    """A captive portal's page lists nothing, rather than no objects."""
    store = connect(serve(http_answer(200, body, Content_Type="application/xml")).endpoint)
    with pytest.raises(StoreUnavailable):
        list(store.list("images"))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "SlowDown", StoreUnavailable),
        (404, "NoSuchBucket", BucketMissing),
        (403, "AccessDenied", ObjectDenied),
        (502, "", StoreUnavailable),
    ],
)
def test_a_refused_listing_becomes_our_error(serve, connect, http_answer, status, code, kind):
    """The SDK's exceptions are mapped like our own answers."""
    document = error_document(code) if code else b"bad gateway"
    store = connect(
        serve(http_answer(status, document, Content_Type="application/xml" if code else "text/html")).endpoint
    )
    with pytest.raises(kind):
        list(store.list("images"))


@pytest.mark.parametrize(
    ("said", "kind"), [("SignatureDoesNotMatch", StoreUnavailable), ("AccessDenied", ObjectDenied), ("", ObjectDenied)]
)
def test_a_question_for_a_bucket_tells_a_wrong_secret_from_a_missing_right(serve, connect, http_answer, said, kind):
    """A HEAD's 403 has no document either; servers that name their reason do so in a header."""
    headers = {"X_Minio_Error_Code": said} if said else {}
    with pytest.raises(kind):
        connect(serve(http_answer(403, **headers)).endpoint).bucket_exists("images")


def test_a_bucket_that_someone_else_just_created_was_not_created_here(serve, connect, http_answer):
    """Two workers may start at once."""

    def script(_server, client, request):
        owned = http_answer(409, error_document("BucketAlreadyOwnedByYou"), Content_Type="application/xml")
        client.sendall(http_answer(404) if request.startswith(b"HEAD") else owned)

    assert connect(serve(script).endpoint).ensure_bucket("images") is False
