"""References that would have a worker read where it should not: each is a dead letter with a code, and names nothing of what it asked for."""

import json
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import KeyForbidden
from schemas.identity import outcome_id
from schemas.image_ref import check_key
from schemas.incoming import Intake, Record, Reference, RejectedReference
from schemas.settled import object_key

INTAKE = Intake(frozenset({"photos"}), "overlays", "overlays/", "outcomes")


def read(body, headers=()):
    value = body if isinstance(body, bytes) else json.dumps(body).encode()
    [incoming] = INTAKE.read(Record(topic="images", partition=3, offset=7, key=None, value=value, headers=headers))
    return incoming


def native(**place):
    return {"event_id": "e", "image_id": "i", "object": {"bucket": "photos", "key": "a", **place}}


def note(key, bucket="photos"):
    entity = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": entity}]}


BUCKETS = [
    ("http://169.254.169.254/latest/meta-data", "message_invalid"),
    ("169.254.169.254", "bucket_forbidden"),
    ("169.254.169.254:80", "message_invalid"),
    ("[fd00:ec2::254]", "message_invalid"),
    ("2852039166", "bucket_forbidden"),
    ("0xa9fea9fe", "bucket_forbidden"),
    ("metadata.google.internal", "bucket_forbidden"),
    ("localhost", "bucket_forbidden"),
    ("photos@169.254.169.254", "message_invalid"),
    ("photos.evil.example", "bucket_forbidden"),
    ("photos/../secrets", "message_invalid"),
    ("photos%2f..%2fsecrets", "message_invalid"),
    ("photos?policy", "message_invalid"),
    ("photos#", "message_invalid"),
    ("photos\n", "message_invalid"),
    ("photos\r\nHost: evil.example", "message_invalid"),
    ("PHOTOS", "message_invalid"),
    ("ph\u043etos", "message_invalid"),
    ("xn--photos-9za", "bucket_forbidden"),
    ("", "message_invalid"),
    ("..", "message_invalid"),
    ("outcomes", "bucket_forbidden"),
    ("overlays", "bucket_forbidden"),
]
KEYS = [
    "http://169.254.169.254/latest/meta-data/iam",
    "https://user@photos.example/a",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "S3://secrets/a",
    "/etc/passwd",
    "//evil.example/a",
    "../secrets/a",
    "a/../../secrets",
    "a/..",
    "./a",
    "a/./b",
    "..\\..\\secrets",
    "%2e%2e/secrets",
    "a/%2E%2e%2fsecrets",
    "%252e%252e%252fsecrets",
    "..%5csecrets",
    "a\x00.jpg",
    "a\r\nX-Amz-Copy-Source: /secrets/a",
    "a\x7f",
    "e\u0301.jpg",
    "a" * 1025,
    "",
]


@pytest.mark.parametrize(("bucket", "code"), BUCKETS)
def test_a_bucket_that_is_an_address_is_refused(bucket, code):
    """Metadata services, hosts, ports, encodings, look-alikes, and the buckets that are ours."""
    incoming = read(native(bucket=bucket))
    assert isinstance(incoming, RejectedReference)
    assert incoming.error.code == code
    assert len(bucket) < 3 or bucket not in str(incoming.error)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_is_a_url_or_climbs_is_refused(key):
    """Schemes, leading slashes, dot segments in every spelling, control characters, a second spelling of one name."""
    incoming = read(native(key=key))
    assert isinstance(incoming, RejectedReference)
    assert incoming.error.code == "key_forbidden"
    assert len(key) < 4 or key not in str(incoming.error)


@pytest.mark.parametrize("key", [key for key in KEYS if "\ud800" not in key])
def test_a_notification_carries_no_such_key_either(key):
    """There a key is URL-encoded once; what is encoded is looked at decoded."""
    incoming = read(note(quote(key, safe="")))
    assert isinstance(incoming, RejectedReference)
    assert incoming.error.code in {"key_forbidden", "message_invalid"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"event_id": "e", "image_id": "i", "url": "http://169.254.169.254/"}, "message_invalid"),
        ({"event_id": "e", "image_id": "i", "object": "s3://photos/a"}, "message_invalid"),
        ({"event_id": "e", "image_id": "i", "object": {"url": "file:///etc/passwd"}}, "message_invalid"),
        ({"event_id": "e", "image_id": "i", "object": ["photos", "a"]}, "message_invalid"),
        (native(sha256="../../etc/passwd"), "message_invalid"),
        (native(size_bytes=-1), "message_invalid"),
        (native(size_bytes=10**400), "message_not_json"),
        ({**native(), "want": {"overlay": "http://evil.example"}}, "message_invalid"),
        ({**native(), "tenant": "../../acme"}, "message_invalid"),
        ({**native(), "image_id": "a\r\nb"}, "message_invalid"),
        ({**native(), "schema": "http://evil.example/schema"}, "schema_version_unknown"),
        (b'{"object":' * 40_000, "message_too_large"),
        (b"[" * 60_000, "message_not_json"),
        (b'{"event_id": "\\ud800"}', "message_not_json"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "message_not_json"),
        (b"\x80\x04\x95.", "message_not_json"),
        (b"<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]>", "message_not_json"),
    ],
)
def test_a_message_of_another_kind_is_refused_by_name(body, code):
    """URLs instead of an object, wrong types, numbers out of range, nesting, archives, pickles, XML."""
    incoming = read(body)
    assert isinstance(incoming, RejectedReference)
    assert incoming.error.code == code


def test_a_url_beside_a_sound_reference_is_not_even_read():
    """Unknown fields are ignored: what is fetched is the object that is named, and nothing keeps the URL."""
    incoming = read(
        {**native(), "url": "http://169.254.169.254/", "object": {**native()["object"], "url": "file:///x"}}
    )
    assert isinstance(incoming, Reference)
    assert b"169.254" not in incoming.ref.to_bytes()
    assert b"file:" not in incoming.ref.to_bytes()


@pytest.mark.parametrize(
    "key", ["photo@2x.png", "a//b", "100%.jpg", "a..b/c...", "..a", "c:/x", "é/日本.jpg", "50%25.png", "a b+c~d"]
)
def test_ordinary_keys_pass_however_odd(key):
    """What people name their files is not an attack."""
    assert check_key(key) == key


@given(st.text(max_size=40))
def test_a_key_that_passes_is_a_path_below_its_bucket(key):
    """Property: however often it is decoded on its way, it neither climbs nor ends early."""
    try:
        check_key(key)
    except KeyForbidden:
        return
    path = quote(key, safe="/~")
    assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", path)
    assert {".", ".."}.isdisjoint(re.split(r"[/\\]", key))


@given(st.lists(st.text(max_size=30), max_size=5))
def test_the_keys_of_our_objects_are_made_of_a_hash(identity):
    """Property: whatever a reference says, the outcome lies under 40 hex digits."""
    assert re.fullmatch(r"outcomes/[0-9a-f]{40}\.json", object_key(outcome_id(*identity)))
