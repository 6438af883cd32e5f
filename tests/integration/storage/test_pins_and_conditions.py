"""What `MinioStore` sends for a pin or a condition, and what it makes of servers that ignore it."""

import pytest

from schemas.errors import (
    DeepTraceError,
    ObjectChanged,
    ObjectNotFound,
    StoreConflict,
    StoreUnavailable,
    StoreUnsupported,
)

DONE = {"content_type": "image/webp", "deadline_s": 2.0}


def fetch(store, key="jane-doe.jpg", *, max_bytes=1000, deadline_s=2.0, **pins):
    return store.get("images", key, max_bytes=max_bytes, deadline_s=deadline_s, **pins)


def error_document(code):
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Key>jane-doe.jpg</Key></Error>".encode()


def test_the_etag_is_asked_for(serve, connect, http_answer):
    """The pin travels as If-Match, inside the signature, with the quotes that notifications leave out."""
    server = serve(http_answer(200, b"x", ETag='"abc"'))
    fetch(connect(server.endpoint), etag="abc")
    assert b'\r\nIf-Match: "abc"\r\n' in server.requests[0]
    assert b"SignedHeaders=host;if-match;x-amz-content-sha256;x-amz-date" in server.requests[0]


def test_a_server_that_ignores_the_etag_is_found_out(serve, connect, http_answer):
    """The answer's own etag must be the one that was referenced."""
    with pytest.raises(ObjectChanged):
        fetch(connect(serve(http_answer(200, b"x", ETag='"new"')).endpoint), etag="old")


@pytest.mark.parametrize("version", ["", "v2"])
def test_a_server_that_ignores_the_version_is_found_out(serve, connect, http_answer, version):
    """No version, or another, is not the referenced object."""
    server = serve(http_answer(200, b"x", x_amz_version_id=version))
    with pytest.raises(ObjectChanged):
        fetch(connect(server.endpoint), version_id="v1")


def test_the_version_null_is_that_of_an_unversioned_object(serve, connect, http_answer):
    """S3 calls it so, and some servers leave the header out."""
    assert fetch(connect(serve(http_answer(200, b"x")).endpoint), version_id="null").data == b"x"


@pytest.mark.parametrize("etag", ['a"\r\nX-Evil: 1', 'a", "b', "ä", "", "a b", "a\x00"])
def test_an_etag_from_a_message_cannot_write_headers(serve, connect, http_answer, etag):
    """What is no etag is refused before anything is sent."""
    server = serve(http_answer(200, b"x"))
    with pytest.raises(ObjectChanged):
        fetch(connect(server.endpoint), etag=etag)
    assert server.requests == []


@pytest.mark.parametrize("version", ["a&uploads=", "a b", "ü", "a\r\nX-Evil: 1", "../../x", "a#b"])
def test_a_version_from_a_message_stays_one_parameter(serve, connect, http_answer, version):
    """It is percent-encoded whole."""
    server = serve(http_answer(200, b"x", x_amz_version_id="other"))
    with pytest.raises(ObjectChanged):
        fetch(connect(server.endpoint), version_id=version)
    target = server.requests[0].split(b" ")[1]
    assert target.startswith(b"/images/jane-doe.jpg?versionId=")
    assert not set(b"&#\r\n /") & set(target.partition(b"=")[2])


def test_a_deleted_version_is_not_found(serve, connect, http_answer):
    """A delete marker answers 405 to a GET of itself."""
    server = serve(http_answer(405, error_document("MethodNotAllowed"), x_amz_delete_marker="true"))
    with pytest.raises(ObjectNotFound):
        fetch(connect(server.endpoint), version_id="v1")


def test_a_conditional_put_carries_its_condition_signed(serve, connect, http_answer):
    """`If-None-Match: *` is a header of the signed request, not metadata."""
    server = serve(http_answer(200, b"", ETag='"e"'))
    connect(server.endpoint).put_if_absent("images", "a", b"x", **DONE)
    assert b"\r\nIf-None-Match: *\r\n" in server.requests[0]
    assert b"SignedHeaders=content-type;host;if-none-match;x-amz-content-sha256;x-amz-date" in server.requests[0]


@pytest.mark.parametrize("status", [412, 304])
def test_a_taken_key_is_a_conflict(serve, connect, http_answer, status):
    """412, or 304 from old MinIO."""
    with pytest.raises(StoreConflict):
        connect(serve(http_answer(status)).endpoint).put_if_absent("images", "a", b"x", **DONE)


def test_an_undecided_race_is_asked_again(serve, connect, http_answer):
    """409 means that another writer is not done; its failure would leave the key free."""
    undecided = http_answer(409, error_document("ConditionalRequestConflict"))
    server = serve(undecided, undecided, http_answer(200, b"", ETag='"e"'))
    assert connect(server.endpoint).put_if_absent("images", "a", b"x", **DONE).etag == "e"
    assert len(server.requests) == 3


@pytest.mark.parametrize(("there", "kind"), [(200, StoreConflict), (404, StoreUnavailable)])
def test_a_race_that_stays_undecided_is_settled_by_looking(serve, connect, http_answer, there, kind):
    """Some servers say 409 for ever; whether the object is there tells what they mean."""

    def script(_server, client, request):
        client.sendall(http_answer(there if request.startswith(b"HEAD") else 409))

    with pytest.raises(kind):
        connect(serve(script).endpoint).put_if_absent("images", "a", b"x", content_type="image/webp", deadline_s=0.3)


def test_a_server_without_conditional_put_is_unsupported(serve, connect, http_answer):
    """501 is no outage: waiting would never end."""
    with pytest.raises(StoreUnsupported):
        connect(serve(http_answer(501, error_document("NotImplemented"))).endpoint).put_if_absent(
            "images", "a", b"x", **DONE
        )


def test_a_conflict_about_the_key_itself_is_not_asked_again(serve, connect, http_answer):
    """Other 409s have their own codes."""
    server = serve(http_answer(409, error_document("XMinioParentIsObject")))
    with pytest.raises(DeepTraceError) as caught:
        connect(server.endpoint).put_if_absent("images", "a", b"x", **DONE)
    assert caught.value.code == "key_forbidden"
    assert len(server.requests) == 1
