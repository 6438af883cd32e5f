"""Records off the images topic: what is a reference, what is refused, and under which id."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.incoming import Intake, Record, Reference, RejectedReference, kafka_time

INTAKE = Intake(frozenset({"photos"}), "photos", "overlays/")
NATIVE = {"event_id": "e-1", "image_id": "i-1", "object": {"bucket": "photos", "key": "a/b.jpg"}}
CE = (("ce_id", b"e-1"), ("ce_source", b"/app"), ("ce_type", b"t"), ("ce_specversion", b"1.0"))


def record(value, headers=(), offset=7):
    raw = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return Record(topic="images", partition=3, offset=offset, key=None, value=raw, headers=headers)


def read_one(value, headers=()):
    [incoming] = INTAKE.read(record(value, headers))
    return incoming


def test_a_native_reference_is_read_with_its_defaults():
    """Only event, image and object are required."""
    incoming = read_one(NATIVE)
    assert isinstance(incoming, Reference)
    assert incoming.format == "native"
    assert (incoming.ref.tenant, incoming.ref.want.overlay) == ("default", "auto")
    assert (incoming.ref.object.bucket, incoming.ref.object.key) == ("photos", "a/b.jpg")


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (None, "message_not_json", "no value"),
        (b"  ", "message_not_json", "no value"),
        (b"{not json", "message_not_json", "at byte 1"),
        (b"\xff\xfe", "message_not_json", "not JSON"),
        (b"[1]", "message_not_json", "it is a list"),
        (b'{"a":"' + b"x" * 70_000 + b'"}', "message_too_large", "65536"),
        ({**NATIVE, "schema": "deeptrace.image/9"}, "schema_version_unknown", "deeptrace.image/1"),
        ({"image_id": "i", "object": NATIVE["object"]}, "message_invalid", "event_id: Field required"),
        ({**NATIVE, "object": {"bucket": "photos"}}, "message_invalid", "object.key: Field required"),
        ({**NATIVE, "object": {**NATIVE["object"], "size_bytes": -1}}, "message_invalid", "object.size_bytes"),
        ({**NATIVE, "tenant": "a|b"}, "message_invalid", "tenant"),
        ({**NATIVE, "image_id": "a\nb"}, "message_invalid", "image_id: Value error, must not hold control characters"),
        ({**NATIVE, "labels": {str(n): "x" * 120 for n in range(9)}}, "message_invalid", "labels"),
        ({**NATIVE, "event_time": "yesterday"}, "message_invalid", "event_time"),
        ({**NATIVE, "event_time": "2026-11-22T10:00:00"}, "message_invalid", "event_time"),
        ({**NATIVE, "event_time": "0001-01-01T00:00:00+14:00"}, "message_invalid", "event_time"),
        ({**NATIVE, "event_time": "9999-12-31T23:59:59-14:00"}, "message_invalid", "event_time"),
        ({"Records": [{}] * 101}, "message_invalid", "more than 100"),
        ({**NATIVE, "object": {"bucket": "others", "key": "k"}}, "bucket_forbidden", "allow-list"),
        ({**NATIVE, "object": {"bucket": "photos", "key": "../etc"}}, "key_forbidden", "'..'"),
        ({**NATIVE, "object": {"bucket": "photos", "key": "/abs"}}, "key_forbidden", "slash"),
        ({**NATIVE, "object": {"bucket": "photos", "key": "é" * 600}}, "key_forbidden", "1024"),
        ({**NATIVE, "object": {"bucket": "photos", "key": "a\x00b"}}, "key_forbidden", "control"),
        ({**NATIVE, "object": {"bucket": "photos", "key": "e\u0301"}}, "key_forbidden", "NFC"),
        ({**NATIVE, "object": {"bucket": "http://169.254.169.254", "key": "k"}}, "message_invalid", "object.bucket"),
    ],
)
def test_a_refused_message_has_its_code_and_says_which_field_and_why(value, code, said):
    """Each fault has a code of its own; the text names the field, never the input's value."""
    incoming = read_one(value)
    assert isinstance(incoming, RejectedReference)
    assert incoming.error.code == code
    assert said in str(incoming.error)


def test_the_error_text_does_not_repeat_what_was_sent():
    """A dead letter's message must not leak a user's data into logs and headers."""
    incoming = read_one({**NATIVE, "tenant": "canary|x", "event_id": 5, "labels": {"canary@example.com": 3}})
    assert "canary" not in str(incoming.error)
    assert "labels.*" in str(incoming.error)


@pytest.mark.parametrize("name", ["ce_id", "ce_source", "ce_subject", "ce_specversion"])
def test_a_header_without_a_value_is_refused_not_fatal(name):
    """Kafka allows null header values."""
    incoming = read_one(NATIVE, (*(pair for pair in CE if pair[0] != name), (name, None)))
    assert incoming.error.code == "message_invalid"


@pytest.mark.parametrize("seconds", [1.7e15, -1e14, float("inf")])
def test_a_timestamp_that_no_calendar_has_becomes_now(seconds):
    """Some producers write microseconds where milliseconds belong."""
    assert abs((kafka_time(seconds) - datetime.now(UTC)).total_seconds()) < 60
    assert kafka_time(0) == datetime(1970, 1, 1, tzinfo=UTC)


def test_equal_cloud_events_have_one_outcome_id_wherever_they_lie():
    """CloudEvents: equal source and id are the same event, on whatever offset."""
    first, second = (INTAKE.read(record(NATIVE, CE, offset))[0].outcome_id for offset in (1, 2))
    assert first == second
    assert first != read_one(NATIVE, (("ce_id", b"e-2"), *CE[1:])).outcome_id


def test_without_cloud_event_headers_tenant_and_event_id_identify():
    """The same event id of two tenants are two references."""
    ids = {read_one({**NATIVE, "tenant": tenant}).outcome_id for tenant in ("a", "b", "a")}
    assert len(ids) == 2


def test_an_unreadable_record_is_identified_by_its_place():
    """Two equal garbage records are two accepted records: each has its own dead letter."""
    first, second = (INTAKE.read(record(b"junk", offset=offset))[0].outcome_id for offset in (1, 2))
    assert first != second


def test_half_a_cloud_event_is_refused_by_name():
    """ce_ headers that do not make an event say what is missing."""
    incoming = read_one(NATIVE, (("ce_id", b"x"),))
    assert incoming.error.code == "message_invalid"
    assert "source" in incoming.error.why
    assert "type" in incoming.error.why


def notification(*records):
    return {"EventName": "s3:ObjectCreated:Put", "Key": "photos/x", "Records": list(records)}


def s3_record(key, event="ObjectCreated:Put", bucket="photos", **entity):
    return {
        "eventName": event,
        "eventTime": "2026-11-22T10:00:00.000Z",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 5, "eTag": "abc", **entity}},
    }


def test_a_notification_fans_out_and_decodes_its_keys():
    """S3 and MinIO URL-encode the key, a space as plus; several records are several references."""
    found = INTAKE.read(record(notification(s3_record("my+cat%2Fa%C3%A9.png"), s3_record("b", versionId="v1"))))
    assert [one.ref.object.key for one in found] == ["my cat/aé.png", "b"]
    assert [one.ref.image_id for one in found] == ["photos/my cat/aé.png", "photos/b@v1"]
    assert found[0].ref.event_time == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert len({one.outcome_id for one in found}) == 2
    assert {one.format for one in found} == {"s3_notification"}


def test_the_same_key_written_again_is_another_reference():
    """Without versioning the etag tells two uploads under one key apart."""
    first, second = (INTAKE.read(record(notification(s3_record("a", eTag=tag))))[0].outcome_id for tag in ("1", "2"))
    assert first != second


def test_a_key_too_long_to_be_an_image_id_is_still_judged():
    """An S3 key may have 1,024 bytes, each of them two in JSON: the image is then named by its identity."""
    [found] = INTAKE.read(record(notification(s3_record("%22" * 1000))))
    assert found.ref.object.key == '"' * 1000
    assert found.ref.image_id == f"photos/{found.outcome_id}"


def test_the_version_null_is_no_version():
    """A bucket whose versioning is suspended says so for each object: the etag must then tell uploads apart."""
    first, second = (
        INTAKE.read(record(notification(s3_record("a", eTag=tag, versionId="null"))))[0] for tag in ("1", "2")
    )
    assert first.outcome_id != second.outcome_id
    assert (first.ref.image_id, first.ref.object.version_id) == ("photos/a", None)


@pytest.mark.parametrize(
    "value",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"},
        notification(s3_record("overlays/ab/abc.webp")),
        notification(s3_record("a", event="s3:ObjectRemoved:Delete")),
        notification(),
    ],
)
def test_what_is_no_upload_is_ignored(value):
    """Test events, deletions and our own overlays ask for nothing."""
    assert INTAKE.read(record(value)) == []


def test_a_bad_record_in_a_notification_does_not_cost_the_good_ones():
    """Each record of a notification has its own outcome."""
    found = INTAKE.read(
        record(notification(s3_record("good"), {"eventName": "ObjectCreated:Put"}, s3_record("x", bucket="others")))
    )
    assert [type(one).__name__ for one in found] == ["Reference", "RejectedReference", "RejectedReference"]
    assert [one.error.code for one in found[1:]] == ["message_invalid", "bucket_forbidden"]
    assert len({one.outcome_id for one in found}) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MOMENTS = st.sampled_from(["2026-11-22T10:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]) | JSON
PLACES = st.fixed_dictionaries({}, optional={"bucket": st.just("photos") | JSON, "key": st.text(max_size=9) | JSON})
NOTES = st.fixed_dictionaries(
    {},
    optional={
        "eventName": st.just("ObjectCreated:Put") | JSON,
        "eventTime": MOMENTS,
        "s3": st.fixed_dictionaries({"bucket": st.just({"name": "photos"}), "object": PLACES}) | JSON,
    },
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "schema": st.just("deeptrace.image/1") | JSON,
        "event_id": st.text(max_size=9) | JSON,
        "image_id": st.text(max_size=9) | JSON,
        "event_time": MOMENTS,
        "object": PLACES | JSON,
        "Records": st.lists(NOTES | JSON, max_size=3) | JSON,
        "labels": JSON,
    },
)
VALID = SHAPED.map(lambda body: {**NATIVE, **body})
HEADERS = st.tuples(
    st.sampled_from(["ce_id", "ce_source", "ce_type", "ce_specversion", "ce_subject", "ce_time", "x"]),
    st.none() | st.binary(max_size=4) | st.just(b"1.0"),
)


@given(
    st.binary(max_size=60) | (SHAPED | VALID).map(lambda body: json.dumps(body).encode()), st.lists(HEADERS, max_size=6)
)
def test_no_input_makes_the_intake_raise(value, headers):
    """Property: any bytes and headers come to references or rejections with ids."""
    for incoming in INTAKE.read(record(value, tuple(headers))):
        assert len(incoming.outcome_id) == 40
