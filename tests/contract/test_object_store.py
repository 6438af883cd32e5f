"""What `ObjectStore` promises, held against the in-memory store and real S3 servers alike; a failure names the server."""

import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from schemas.errors import (
    BucketForbidden,
    BucketMissing,
    DeepTraceError,
    KeyForbidden,
    ObjectChanged,
    ObjectNotFound,
    ObjectTooLarge,
    StoreUnavailable,
)

JPEG = b"\xff\xd8\xff\xe0 not really an image \x00\r\n\r\n"


def test_what_was_put_is_got(server):
    """The bytes come back, with size, etag, type and time."""
    server.put("img/1.jpg")
    found = server.get("img/1.jpg")
    assert found.data == JPEG
    assert (found.info.key, found.info.size_bytes, found.info.content_type) == ("img/1.jpg", len(JPEG), "image/jpeg")
    assert found.info.etag == hashlib.md5(JPEG).hexdigest()
    assert abs(found.info.last_modified - datetime.now(UTC)) < timedelta(minutes=1)


def test_put_head_and_get_agree(server):
    """The etag of the put is the one that head and get give."""
    made = server.put("img/1.jpg")
    seen = server.store.head(server.bucket, "img/1.jpg")
    assert made.etag == seen.etag == server.get("img/1.jpg").info.etag
    assert (made.size_bytes, seen.size_bytes, seen.content_type) == (len(JPEG), len(JPEG), "image/jpeg")


def test_another_client_reads_it_at_once(server):
    """Read after write holds across connections."""
    if server.name == "memory":
        pytest.skip("the memory store has one client")
    other = server.connect()
    for number in range(20):
        server.put("same", str(number).encode())
        assert other.get(server.bucket, "same", max_bytes=9, deadline_s=10).data == str(number).encode()
    other.close()


def test_a_put_replaces(server):
    """The last put is what is got."""
    server.put("k", b"a longer first")
    server.put("k", b"second")
    assert server.get("k").data == b"second"
    assert server.keys() == ["k"]


def test_an_empty_object_is_an_object(server):
    """Nought bytes are no error here; what they mean is for others to say."""
    server.put("empty", b"")
    assert server.get("empty").data == b""
    assert server.get("empty", max_bytes=0).info.size_bytes == 0
    assert server.store.head(server.bucket, "empty").size_bytes == 0


def test_a_megabyte_comes_back_whole(server):
    """More than one read of a socket."""
    data = secrets.token_bytes(5 << 20)
    server.put("big", data)
    assert server.get("big", max_bytes=5 << 20).data == data


@pytest.mark.parametrize(
    "key",
    [
        "with space.jpg",
        "a+b.jpg",
        "100%.jpg",
        "%2F%00.jpg",
        "q?versionId=1&x=2",
        "hash#tag.jpg",
        "semi;colon,comma=equals",
        "quotes'\".jpg",
        "(round)[square]{curly}<angle>&amp;.jpg",
        "~tilde!$*@:^|`.jpg",
        "back\\slash.jpg",
        ".hidden/...three",
        "ünïcödé/日本語/😀.jpg",
        "/".join(["x" * 200] * 5),
    ],
)
def test_an_odd_key_names_its_own_object(server, key):
    """What the key rules allow can be put, got, looked at, listed and deleted under exactly that name."""
    server.put(key, key.encode())
    assert server.get(key).data == key.encode()
    assert server.store.head(server.bucket, key).size_bytes == len(key.encode())
    assert server.keys() == [key]
    server.store.delete(server.bucket, key)
    assert server.keys() == []


def test_a_missing_object_is_not_found(server):
    """For get and head alike."""
    with pytest.raises(ObjectNotFound):
        server.get("nowhere")
    with pytest.raises(ObjectNotFound):
        server.store.head(server.bucket, "nowhere")


@pytest.mark.parametrize("call", ["get", "put", "put_if_absent", "head", "list"])
def test_a_missing_bucket_is_told_apart(server, call):
    """It is a fault of the set-up, not of a reference."""
    calls = {
        "get": lambda: server.store.get(server.missing, "k", max_bytes=1, deadline_s=10),
        "put": lambda: server.store.put(server.missing, "k", b"", content_type="text/plain", deadline_s=10),
        "put_if_absent": lambda: server.store.put_if_absent(
            server.missing, "k", b"", content_type="text/plain", deadline_s=10
        ),
        "head": lambda: server.store.head(server.missing, "k"),
        "list": lambda: list(server.store.list(server.missing)),
    }
    with pytest.raises(BucketMissing):
        calls[call]()


def test_the_cap_is_exact(server):
    """As many bytes as allowed are got, one more is refused."""
    server.put("k", b"x" * 1000)
    assert len(server.get("k", max_bytes=1000).data) == 1000
    with pytest.raises(ObjectTooLarge):
        server.get("k", max_bytes=999)


@pytest.mark.parametrize("spelling", ["{}", '"{}"'])
def test_the_pinned_etag_is_got(server, spelling):
    """With or without the quotes of the header."""
    etag = server.put("k").etag
    assert server.get("k", etag=spelling.format(etag)).data == JPEG


def test_another_etag_is_a_changed_object(server):
    """A pin on what was replaced is refused."""
    etag = server.put("k", b"old").etag
    server.put("k", b"new")
    with pytest.raises(ObjectChanged):
        server.get("k", etag=etag)


def test_a_version_is_got_after_it_was_replaced(versioned):
    """The pin gives the bytes that were referenced, not the newest."""
    first, second = versioned.put("k", b"old"), versioned.put("k", b"new")
    assert first.version_id != second.version_id
    assert versioned.get("k", version_id=first.version_id).data == b"old"
    assert versioned.get("k").info.version_id == second.version_id
    assert versioned.store.head(versioned.bucket, "k", version_id=first.version_id).size_bytes == 3


def test_a_version_is_got_after_the_object_was_deleted(versioned):
    """Deleting hides; the pinned bytes stay."""
    version_id = versioned.put("k", b"old").version_id
    versioned.store.delete(versioned.bucket, "k")
    with pytest.raises(ObjectNotFound):
        versioned.get("k")
    assert versioned.get("k", version_id=version_id).data == b"old"


def test_an_unknown_version_is_not_found(versioned):
    """A version that never was."""
    versioned.put("k")
    with pytest.raises(ObjectNotFound):
        versioned.get("k", version_id="11111111-2222-3333-4444-555555555555")


def test_a_version_that_the_server_cannot_give_never_stops_the_service(server):
    """One reference with a made-up version is one dead letter: no outage, no fault of the configuration, no other bytes."""
    server.put("k")
    with pytest.raises(DeepTraceError) as caught:
        server.get("k", version_id="no such version")
    assert caught.value.code in {"object_not_found", "object_changed", "object_refused"}, server.name


def test_a_listing_holds_what_starts_with_the_prefix(server):
    """In the order of the keys, with sizes; a prefix is text, not a folder."""
    for key in ("b/2", "b/1", "a", "bb", "b/deep/er"):
        server.put(key, key.encode())
    assert server.keys() == ["a", "b/1", "b/2", "b/deep/er", "bb"]
    assert server.keys("b/") == ["b/1", "b/2", "b/deep/er"]
    assert server.keys("b/d") == ["b/deep/er"]
    assert server.keys("nothing") == []
    assert {info.key: info.size_bytes for info in server.store.list(server.bucket, "bb")} == {"bb": 2}


def test_a_listing_goes_past_its_first_page(server):
    """S3 gives a thousand keys at a time."""
    wanted = [f"page/{number:04d}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(server.put, data=b""), wanted))
    assert server.keys("page/") == wanted


def test_deleting_twice_is_deleting_once(server):
    """A missing object is what was wanted."""
    server.put("k")
    server.store.delete(server.bucket, "k")
    server.store.delete(server.bucket, "k")
    assert server.keys() == []


@pytest.mark.parametrize(
    "call", ["get", "put", "put_if_absent", "head", "list", "delete", "ensure_bucket", "bucket_exists"]
)
def test_a_bucket_off_the_list_is_forbidden(server, call):
    """For every operation, whatever the server would say."""
    other, done = "someone-elses-bucket", {"content_type": "text/plain", "deadline_s": 10}
    calls = {
        "get": lambda: server.store.get(other, "k", max_bytes=1, deadline_s=10),
        "put": lambda: server.store.put(other, "k", b"", **done),
        "put_if_absent": lambda: server.store.put_if_absent(other, "k", b"", **done),
        "head": lambda: server.store.head(other, "k"),
        "list": lambda: list(server.store.list(other)),
        "delete": lambda: server.store.delete(other, "k"),
        "ensure_bucket": lambda: server.store.ensure_bucket(other),
        "bucket_exists": lambda: server.store.bucket_exists(other),
    }
    with pytest.raises(BucketForbidden):
        calls[call]()


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../other-bucket/k", "a/../b", "a/./b", "a\x00b", "a\nb", "x" * 1025, "e\u0301"]
)
def test_a_key_against_the_rules_is_forbidden(server, key):
    """For reading and writing: no traversal, no control characters, one spelling."""
    for call in (lambda: server.get(key), lambda: server.put(key), lambda: server.store.delete(server.bucket, key)):
        with pytest.raises(KeyForbidden):
            call()


def test_a_bucket_is_created_once(server):
    """The answer tells whether it was created here."""
    assert server.store.bucket_exists(server.missing) is False
    assert server.store.ensure_bucket(server.missing) is True
    assert server.store.ensure_bucket(server.missing) is False
    assert server.store.bucket_exists(server.missing) is True


def test_ensuring_a_bucket_keeps_its_objects(server):
    """It is safe at every start."""
    server.put("k")
    server.store.ensure_bucket(server.bucket)
    assert server.keys() == ["k"]


def test_a_closed_store_answers_nothing(server):
    """Closing twice is fine; every call after it says that the store is unavailable."""
    server.put("k")
    server.store.close()
    server.store.close()
    for call in (
        lambda: server.get("k"),
        lambda: server.put("k"),
        server.keys,
        lambda: server.store.bucket_exists(server.bucket),
    ):
        with pytest.raises(StoreUnavailable):
            call()


def test_many_threads_share_a_store(server):
    """Each gets its own object, never another's."""
    objects = {f"t/{number}": secrets.token_bytes(20_000) for number in range(64)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(server.put, objects, objects.values()))
        assert dict(zip(objects, (found.data for found in pool.map(server.get, objects)), strict=True)) == objects
