"""Dead letters become references anew: the original untouched, its identity replaced, a pointer to the old outcome."""

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.planted import BUCKET, INTAKE, id_of, letter_of, notification, reference

from schemas.dead_letter import DeadLetter, fit
from schemas.identity import outcome_id
from schemas.incoming import Intake, Record
from streams.replay import SOURCE, fault_of, replay_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NEW = "f" * 32


def letter(original, identity=None):
    """Return the dead letter of a record, under the id that an intake gives its first reference."""
    identity = identity or INTAKE.read(original)[0].outcome_id
    return DeadLetter.read(letter_of(original, identity))


def replayed(original, intake=INTAKE, identity=None):
    return replay_of(letter(original, identity), intake, event_id=NEW, now=NOW)


def asked(replay, intake=INTAKE):
    """Return the ids and rejections that the replayed record asks for, at some place on the topic."""
    record = Record("deeptrace.images.v1", 5, 99, replay.key, replay.value, replay.headers)
    return [(one.outcome_id, getattr(one, "error", None) and one.error.code) for one in intake.read(record)]


def test_with_cloudevents_headers_the_id_is_replaced():
    """Key, value, source and all other headers are the original's."""
    original = reference("a")
    original = replace(original, headers=(("own", b"1"), *original.headers, ("null", None)))
    replay = replayed(original)
    assert (replay.key, replay.value) == (original.key, original.value)
    assert replay.headers == (
        *((n, NEW.encode() if n == "ce_id" else v) for n, v in original.headers),
        ("dt-replay-of", id_of("a").encode()),
    )
    assert asked(replay) == [(outcome_id("ce", "/test", NEW), None)]
    assert replay.outcome_id == outcome_id("ce", "/test", NEW) != id_of("a")


def test_without_cloudevents_headers_it_gets_some():
    """The body, whose event_id was the identity, stays as it is."""
    original = replace(reference("a"), headers=(("own", b"1"),))
    replay = replayed(original)
    headers = dict(replay.headers)
    assert (replay.key, replay.value) == (original.key, original.value)
    assert (headers["ce_id"], headers["ce_source"], headers["own"]) == (NEW.encode(), SOURCE.encode(), b"1")
    assert headers["dt-replay-of"].decode() == outcome_id("event", "default", "a")
    assert asked(replay) == [(outcome_id("ce", SOURCE, NEW), None)] == [(replay.outcome_id, None)]


@pytest.mark.parametrize("value", [b"garbage", None, b"", b"[1]", b'{"schema": "deeptrace.image/9"}'])
def test_what_never_parsed_is_sent_again_as_it_was(value):
    """A later release may read it; if not, it has a dead letter under its new id."""
    original = Record("deeptrace.images.v1", 1, 2, b"key", value, ())
    replay = replayed(original)
    assert replay.value == value
    [(new, code)] = asked(replay)
    assert (new, new == replay.outcome_id, code is not None) == (outcome_id("ce", SOURCE, NEW), True, True)


def test_a_notification_becomes_a_reference_to_the_object_that_failed():
    """Sent again as it was, its object would have its old id and its old, settled dead letter."""
    original = notification("one.png", "my+cat%2Fa.png")
    failed = INTAKE.read(original)[1]
    replay = replayed(original, identity=failed.outcome_id)
    body = orjson.loads(replay.value)
    assert body["object"] == {"bucket": BUCKET, "key": "my cat/a.png"}
    assert body["event_id"] == NEW
    assert replay.key == f"default|{BUCKET}/my cat/a.png".encode()
    assert asked(replay) == [(outcome_id("ce", SOURCE, NEW), None)] == [(replay.outcome_id, None)]
    assert dict(replay.headers)["dt-replay-of"].decode() == failed.outcome_id


def test_a_notification_into_a_bucket_that_is_allowed_by_now_is_sent_as_it_was():
    """It was rejected under its place, so its object's own id is still free."""
    original = notification("one.png")
    before = Intake(frozenset({"other"}), "o", "overlays/")
    [refused] = before.read(original)
    replay = replay_of(letter(original, refused.outcome_id), INTAKE, event_id=NEW, now=NOW)
    assert replay.value == original.value
    assert asked(replay) == [(outcome_id("object", BUCKET, "one.png", ""), None)]
    assert replay.outcome_id is None  # not told beforehand


def test_faulty_cloudevents_headers_are_not_mended():
    """What was wrong with the message is still wrong with it: only its id is new, and here that means its place."""
    original = replace(reference("a"), headers=(("ce_id", b"a"), ("ce_source", b"/test")))
    replay = replayed(original)
    assert replay.headers[:2] == (("ce_id", NEW.encode()), ("ce_source", b"/test"))
    assert (replay.outcome_id, asked(replay)[0][1]) == (None, "message_invalid")


def test_a_replay_of_a_replay_points_to_the_letter_at_hand():
    """One pointer, to the last try."""
    original = reference("a")
    first = replayed(original)
    again = Record("deeptrace.images.v1", 0, 7, first.key, first.value, first.headers)
    second = replay_of(letter(again), INTAKE, event_id="e" * 32, now=NOW)
    assert [v for n, v in second.headers if n == "dt-replay-of"] == [first.outcome_id.encode()]


def test_nothing_of_the_dead_letter_goes_back_onto_the_topic():
    """Neither Connect's headers nor ours."""
    names = [name for name, _ in replayed(reference("a")).headers]
    assert [name for name in names if name.startswith(("__connect", "dt-"))] == ["dt-replay-of"]


def test_a_letter_that_was_cut_cannot_be_replayed():
    """Its original is not there any more; that is said, not guessed."""
    original = fit(Record("deeptrace.images.v1", 0, 1, b"k", b"x" * (300 * 1024)))
    assert "cut" in fault_of(letter(original, id_of("a")))


def test_a_letter_of_somebody_else_cannot_be_replayed():
    """Without an outcome id nobody could tell whether it was replayed."""
    assert "outcome id" in fault_of(DeadLetter.read(reference("a")))


def test_a_letter_too_large_for_the_images_topic_cannot_be_replayed():
    """With new headers a record near the topic's limit would be refused, and hold up the others."""
    original = Record("deeptrace.images.v1", 0, 1, b"k", b"x" * (201 * 1024))
    assert "too large" in fault_of(letter(original, id_of("a")))
    assert fault_of(letter(replace(original, value=b"x" * (199 * 1024)), id_of("a"))) is None


@given(
    value=st.none() | st.binary(max_size=60) | st.sampled_from([reference("a").value, notification("a.png").value]),
    headers=st.lists(
        st.tuples(st.sampled_from(["ce_id", "ce_source", "ce_type", "ce_specversion", "own"]), st.binary(max_size=4)),
        max_size=5,
    ),
)
def test_a_replay_never_asks_for_the_old_outcome(value, headers):
    """Property: whatever the original was, the replay is another reference, wherever it will lie."""
    original = Record("deeptrace.images.v1", 0, 1, b"k", value, tuple(headers))
    for one in INTAKE.read(original):
        replay = replayed(original, identity=one.outcome_id)
        assert one.outcome_id not in {new for new, _ in asked(replay)}
        if replay.outcome_id is not None:
            assert replay.outcome_id in {new for new, _ in asked(replay)}
