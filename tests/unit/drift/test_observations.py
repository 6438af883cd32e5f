"""Verdicts to observations."""

import base64
import struct
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MessageInvalid, MessageRejected, SchemaVersionUnknown
from schemas.observations import ABSENT, HAS_PROBS, MAX_BATCH_REJECTS, NOVEL, REJECTED, SCORED, ObservationBatch
from streams.drift.gathering import Gathering
from streams.drift.observations import EventTimes, Oddity, SeenModel, observe
from streams.drift.rows import Rows
from streams.drift.windows import Fate, fingerprint_of

NOON_MS = 1_767_268_800_000
MODEL = {
    "version": "m1",
    "sha256": "s",
    "kind": "fake",
    "training_data": "t",
    "calibration_id": "c",
    "preprocess_id": "p",
    "classes": ["flux", "real"],
    "prior": [0.4, 0.6],
}
SOURCE = {"topic": "t", "partition": 0, "offset": 0, "event_time": "2026-01-01T11:59:00Z", "format": "native"}
VERDICT = {
    "schema": "deeptrace.verdict/1",
    "outcome_id": "o1",
    "image_id": "i1",
    "tenant": "acme",
    "event_id": "e1",
    "object": {"bucket": "b", "key": "k", "sha256": "s", "size_bytes": 1, "format": "PNG", "width": 1, "height": 1},
    "verdict": "ai_generated",
    "predicted_source": "flux",
    "confidence": 0.8,
    "per_class_probs": {"real": 0.25, "flux": 0.75},
    "novelty": {"score": 1.0, "threshold": 2.0, "method": "m"},
    "explanation": {"status": "skipped"},
    "model": MODEL,
    "source": SOURCE,
    "timing": dict.fromkeys(
        ["queue_ms", "fetch_ms", "decode_ms", "infer_ms", "overlay_ms", "processing_ms", "batch_size"], 1
    ),
}
EMBEDDING = base64.b64encode(bytes(range(32))).decode()


def said(**changes):
    """What windows take of the verdict with these changes; a field that is None is left out."""
    verdict = {name: value for name, value in (VERDICT | changes).items() if value is not None}
    return observe(orjson.dumps(verdict), written_ms=NOON_MS)


def test_an_observation_is_what_windows_need() -> None:
    """Everything else of the verdict stays behind; probabilities are in the order of the model's classes, in 1/60000."""
    seen = said()
    assert (seen.tenant, seen.verdict, seen.source, seen.confidence) == ("acme", "ai_generated", "flux", 0.8)
    assert seen.fingerprint == fingerprint_of("o1")
    assert seen.event_ms == NOON_MS - 60_000
    assert seen.model == SeenModel("m1", "c", ("flux", "real"), (0.4, 0.6))
    assert seen.probs == (45_000, 15_000)
    assert (seen.is_scored, seen.is_novel, seen.reject, seen.oddities) == (True, False, None, ())


def test_without_an_event_time_the_record_time_counts() -> None:
    """An upload that nobody dated happened, for windows, when its verdict was written."""
    assert said(source=SOURCE | {"event_time": None}).event_ms == NOON_MS


def test_a_novel_image_brings_its_embedding() -> None:
    """What clusters are looked for among: where it lies, the nearest class, where to find it."""
    novelty = {"score": 3.0, "threshold": 2.0, "method": "m", "nearest": "flux", "embedding": EMBEDDING}
    seen = said(novelty=novelty)
    assert seen.is_novel
    assert seen.reject is not None
    assert seen.reject.to_json() == {
        "fingerprint": fingerprint_of("o1"),
        "embedding": EMBEDDING,
        "nearest": "flux",
        "bucket": "b",
        "key": "k",
        "model_version": "m1",
    }


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"1", b'{"schema": "deeptrace.verdict/1"}', b"\xff"])
def test_what_is_no_verdict_is_refused(value) -> None:
    """It raises the error that the worker counts as unreadable and skips."""
    with pytest.raises(MessageInvalid):
        observe(value, written_ms=NOON_MS)


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome_id": ""},
        {"tenant": "*"},
        {"tenant": "a b"},
        {"verdict": "perhaps"},
        {"confidence": 1.5},
        {"predicted_source": "midjourney"},
        {"model": MODEL | {"classes": []}},
        {"model": MODEL | {"classes": [f"c{n}" for n in range(33)]}},
        {"model": None},
        {"source": SOURCE | {"event_time": "yesterday"}},
        {"source": SOURCE | {"event_time": "2026-01-01T11:59:00"}},
    ],
)
def test_a_verdict_with_a_wrong_field_is_refused(changes) -> None:
    """A tenant called like all tenants, a source that the model does not know, a time without a zone: none enters a window."""
    with pytest.raises(MessageInvalid):
        said(**changes)


@pytest.mark.parametrize("changes", [{}, {"verdict": "maybe"}])
def test_another_schema_is_refused_by_its_name(changes) -> None:
    """Whether or not the rest looks like a verdict."""
    with pytest.raises(SchemaVersionUnknown):
        said(schema="deeptrace.verdict/2", **changes)


@pytest.mark.parametrize(
    "probs",
    [
        {"real": 0.5, "flux": 0.4},
        {"real": 1.5, "flux": -0.5},
        {"real": 1.0},
        {"real": 0.5, "flux": 0.25, "midjourney": 0.25},
        {"real": 0.5, "midjourney": 0.5},
        {},
    ],
)
def test_probabilities_that_are_none_are_left_out(probs) -> None:
    """They do not sum to 1, or are not over the model's classes: the image counts, its probabilities do not, and that is told."""
    seen = said(per_class_probs=probs)
    assert (seen.source, seen.probs, seen.oddities) == ("flux", (), (Oddity.BAD_PROBABILITIES,))


@pytest.mark.parametrize("embedding", ["", "!", base64.b64encode(bytes(31)).decode()])
def test_an_embedding_that_is_none_is_left_out(embedding) -> None:
    """The image counts; clusters are looked for without it."""
    seen = said(novelty={"score": 3.0, "threshold": 2.0, "method": "m", "embedding": embedding})
    assert (seen.is_novel, seen.reject, seen.oddities) == (True, None, (Oddity.BAD_EMBEDDING,))


@pytest.mark.parametrize("prior", [[1.0], [1.0, 0.0], [0.5, 0.4], [1.0, 5e-324]])
def test_a_prior_that_is_none_is_taken_as_even(prior) -> None:
    """As where the model states none."""
    assert said(model=MODEL | {"prior": prior}).model.prior is None


@pytest.mark.parametrize(
    ("event_time", "fate"),
    [
        ("2026-01-01T12:05:00Z", None),
        ("2026-01-01T12:05:00.001Z", Fate.TOO_FAR_AHEAD),
        ("2099-01-01T00:00:00Z", Fate.TOO_FAR_AHEAD),
        ("2025-12-31T12:00:00Z", None),
        ("2025-12-31T11:59:59.999Z", Fate.TOO_FAR_BACK),
        ("1970-01-01T00:00:00Z", Fate.TOO_FAR_BACK),
        ("0001-01-01T00:00:00Z", Fate.TOO_FAR_BACK),
    ],
)
def test_times_that_cannot_be_true_are_left_out(event_time, fate) -> None:
    """Too far ahead of our clock, or too far behind the time at which the verdict was written."""
    times = EventTimes(max_future_ms=300_000, max_past_ms=86_400_000)
    assert times.fate(said(source=SOURCE | {"event_time": event_time}), written_ms=NOON_MS, now_ms=NOON_MS) is fate


def test_a_gathering_gives_a_batch_a_tenant_and_one_of_all() -> None:
    """The layout of a row is the one that the schema describes."""
    gathering = Gathering()
    for tenant, changes in (
        ("acme", {}),
        ("other", {"predicted_source": None, "verdict": "inconclusive", "confidence": None, "per_class_probs": None}),
        (
            "acme",
            {"outcome_id": "o2", "model": MODEL | {"classes": ["real", "flux", "dalle3"]}, "per_class_probs": None},
        ),
    ):
        gathering.add(said(tenant=tenant, **changes))
    batches = {batch.tenant: ObservationBatch.from_bytes(batch.to_bytes()) for batch in gathering.batches()}
    assert {tenant: batch.count for tenant, batch in batches.items()} == {"acme": 2, "other": 1, "*": 3}
    head = struct.unpack("<QqBBBBH3H", base64.b64decode(batches["acme"].rows)[:28])
    assert head == (fingerprint_of("o1"), NOON_MS - 60_000, 0, 1, 0, HAS_PROBS | SCORED, 48_000, 45_000, 15_000, 0)
    other = struct.unpack("<QqBBBBH3H", base64.b64decode(batches["other"].rows))
    assert other[2:] == (2, 0, 0, SCORED, ABSENT, 0, 0, 0)
    assert [model.classes for model in batches["*"].models] == [("flux", "real"), ("real", "flux", "dalle3")]


def test_a_gathering_says_when_it_is_full() -> None:
    """Novel images cost more, so fewer of them are sent in one record."""
    novelty = {"score": 3.0, "threshold": 2.0, "method": "m", "embedding": EMBEDDING}
    gathering = Gathering()
    for n in range(MAX_BATCH_REJECTS):
        one = said(outcome_id=str(n), novelty=novelty)
        assert gathering.has_room_for(one)
        gathering.add(one)
    assert not gathering.has_room_for(one)
    assert [len(batch.rejects) for batch in gathering.batches()] == [MAX_BATCH_REJECTS] * 2
    [flags] = {row["flags"] for row in Rows.from_message(next(gathering.batches())).table}
    assert flags == NOVEL | HAS_PROBS | SCORED | REJECTED


@given(st.binary(max_size=300) | st.recursive(st.none() | st.text(), st.lists).map(orjson.dumps))
def test_no_bytes_raise_anything_else(value) -> None:
    """Whatever lies on the topic, the worker gets an observation or an error that it knows."""
    with suppress(MessageRejected):
        observe(value, written_ms=NOON_MS)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": MODEL | {"classes": ["flux", "é" * 65]}},
        {"model": MODEL | {"classes": ["flux", "\x01" * 22]}},
        {"model": MODEL | {"version": "é" * 65}},
        {"labels": {"x": "x" * 65_536}},
    ],
)
def test_a_verdict_that_no_record_has_room_for_is_refused(changes) -> None:
    """Names of more than 128 bytes, escapes included, and verdicts of more than 64 KiB: 255 models of such would be more than a topic takes."""
    with pytest.raises(MessageInvalid):
        said(**changes)


@pytest.mark.parametrize(("bucket", "key"), [("b", "\x01" * 86), ("b" * 129, "k")])
def test_an_embedding_of_an_object_with_a_long_name_is_left_out(bucket, key) -> None:
    """256 of them lie in one record."""
    novelty = {"score": 3.0, "threshold": 2.0, "method": "m", "embedding": EMBEDDING}
    seen = said(novelty=novelty, object=VERDICT["object"] | {"bucket": bucket, "key": key})
    assert (seen.reject, seen.oddities) == (None, (Oddity.BAD_EMBEDDING,))


def test_a_gathering_is_full_when_its_names_are() -> None:
    """Whoever makes up a model for each verdict gets more records, and none that the broker refuses."""
    gatherings = [Gathering()]
    for n in range(300):
        classes = [f"{n}.{at}".ljust(128, "x") for at in range(32)]
        one = said(outcome_id=str(n), model=MODEL | {"classes": classes, "prior": None}, predicted_source=classes[0])
        if not gatherings[-1].has_room_for(one):
            gatherings.append(Gathering())
        gatherings[-1].add(one)
    sizes = [len(batch.to_bytes()) for gathering in gatherings for batch in gathering.batches()]
    assert sum(len(gathering) for gathering in gatherings) == 300
    assert 200_000 < max(sizes) < 400_000
