"""The messages: canonical bytes, limits, and that the generated files are what the code says."""

import hashlib
import json
from datetime import UTC, datetime

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.class_list import check_classes
from schemas.base import rfc3339
from schemas.dead_letter import DeadLetter, dead_letter_headers, fit
from schemas.errors import CheckpointRefused, DeepTraceError, ImageTruncated, MessageInvalid, leaves
from schemas.generate import FOLDER, documents
from schemas.identity import outcome_id
from schemas.image_ref import MAX_IMAGE_ID_BYTES, ImageRef
from schemas.incoming import Record
from schemas.verdict import MAX_VERDICT_BYTES, TABLES, Verdict

MOMENT = "2026-11-22T10:00:00.000Z"


def verdict(**changes):
    body = {
        "outcome_id": "0" * 40,
        "image_id": "i",
        "tenant": "default",
        "event_id": "e",
        "object": {
            "bucket": "photos",
            "key": "k",
            "sha256": "0" * 64,
            "size_bytes": 1,
            "format": "JPEG",
            "width": 9,
            "height": 9,
        },
        "verdict": "ai_generated",
        "predicted_source": "flux",
        "confidence": 0.9,
        "is_ai_generated": True,
        "p_ai": 0.9,
        "per_class_probs": {"real": 0.1, "flux": 0.9},
        "explanation": {"status": "skipped"},
        "model": {
            "version": "1",
            "sha256": "0" * 64,
            "kind": "fake",
            "training_data": "none",
            "calibration_id": "none",
            "preprocess_id": "p",
            "classes": ["real", "flux"],
        },
        "source": {"topic": "t", "partition": 0, "offset": 1, "event_time": MOMENT, "format": "native"},
        "timing": dict.fromkeys(("queue_ms", "fetch_ms", "decode_ms", "infer_ms", "overlay_ms", "processing_ms"), 1.5)
        | {"batch_size": 1},
    }
    return {**body, **changes}


def test_a_verdict_survives_its_bytes_and_equal_verdicts_are_equal_bytes():
    """Serialising is canonical: sorted keys, absent fields left out."""
    first = Verdict.model_validate(verdict())
    again = Verdict.from_bytes(first.to_bytes())
    assert again == first
    assert again.to_bytes() == first.to_bytes()
    body = json.loads(first.to_bytes())
    assert list(body) == sorted(body)
    assert body["schema"] == "deeptrace.verdict/1"
    assert "members" in body
    assert "external_id" not in body


def test_readers_ignore_unknown_fields():
    """A field of a later release must not break a consumer of today."""
    assert Verdict.from_bytes(json.dumps(verdict(brand_new={"a": 1})).encode()).predicted_source == "flux"


def test_probabilities_that_do_not_sum_to_one_are_refused():
    """A verdict that cannot be true is never published."""
    with pytest.raises(MessageInvalid, match="must sum to 1"):
        Verdict.from_bytes(json.dumps(verdict(per_class_probs={"real": 0.1, "flux": 0.2})).encode())


def largest(classes):
    """A verdict with every echoed field and every field of ours at its largest."""
    shares = dict.fromkeys(classes, 1 / len(classes))
    given_ai = dict.fromkeys(classes[:-1], 1 / (len(classes) - 1))
    ref = ImageRef.model_validate(
        {
            "event_id": '"' * 128,
            "image_id": '"' * (MAX_IMAGE_ID_BYTES // 2),
            "tenant": "t" * 64,
            "object": {"bucket": "b" * 63, "key": '"' * 1024},
            "external_id": '"' * 128,
            "labels": {"k" * 60 + str(n): '"' * 33 for n in range(8)},
        }
    )
    body = verdict(
        image_id=ref.image_id,
        event_id=ref.event_id,
        tenant=ref.tenant,
        external_id=ref.external_id,
        labels=ref.labels,
        per_class_probs=shares,
        p_generator_given_ai=given_ai,
        members=[{"name": name, "p_ai": 0.123456, "top": classes[0]} for name in ("cnn", "vit", "fft")],
        explanation={
            "status": "written",
            "bucket": "b" * 63,
            "key": "o" * 120,
            "method": "grad-cam",
            "member": "cnn",
            "target_class": classes[0],
            "faithfulness": 0.1234567890123456,
        },
        predicted_source=classes[0],
        label_set={"coverage": 0.9, "labels": classes},
        novelty={
            "score": 123.45678901234567,
            "threshold": 123.45678901234567,
            "method": "logit_density",
            "nearest": classes[0],
            "embedding": "e" * 44,
        },
        stability={"views": 3, "flips": 2, "p_ai_min": 0.123456, "p_ai_max": 0.123456},
        reasons=["weak_evidence", "novel", "unstable"],
        status="degraded",
        degraded=["overlay_failed", "stability_failed"],
        reason="replay",
        replay_of=verdict()["outcome_id"],
        flags=["low_res", "animated", "cmyk", "sixteen_bit", "alpha_flattened", "icc_converted"],
    )
    body["object"] |= {"key": ref.object.key, "bucket": "b" * 63, "etag": "e" * 64, "version_id": "v" * 64}
    body["model"] |= {
        "classes": classes,
        "version": "v" * 20,
        "calibration_id": "c" * 12,
        "training_data": "simulated-v1",
        "prior": [1 / 3] * len(classes),
    }
    return Verdict.model_validate(body)


def test_a_verdict_that_fits_is_published_as_it_is():
    """Word for word."""
    given = Verdict.model_validate(verdict())
    assert given.fitted() == (given, given.to_bytes())


@pytest.mark.parametrize(
    ("count", "left_out"),
    [
        (10, set()),
        (12, {"p_generator_given_ai"}),
        (16, {"p_generator_given_ai", "label_set"}),
        (30, {"p_generator_given_ai", "label_set", "per_class_probs"}),
    ],
)
def test_the_largest_verdict_stays_under_its_limit_and_says_what_it_goes_without(count, left_out):
    """Every text of the producer's at its largest: with more classes first what follows from the rest goes, the verdict itself never."""
    whole = largest([f"generator_number_{n:03d}" for n in range(count - 1)] + ["real"])
    fitted, value = whole.fitted()
    assert len(value) <= MAX_VERDICT_BYTES
    assert {name for name in TABLES if getattr(fitted, name) is None} == left_out
    assert ("tables_left_out" in fitted.degraded) == bool(left_out)
    assert (fitted.verdict, fitted.p_ai, fitted.novelty) == (whole.verdict, whole.p_ai, whole.novelty)
    assert fitted.model == whole.model.model_copy(update={"prior": None} if "per_class_probs" in left_out else {})
    assert Verdict.from_bytes(value).to_bytes() == value


@pytest.mark.parametrize(("count", "letters"), [(40, 20), (14, 60), (8, 64), (2, 64)])
def test_every_class_list_that_is_served_fits_beside_the_largest_texts(count, letters):
    """What `model.class_list` lets through has room in every verdict."""
    classes = [f"{n:02d}".ljust(letters, "x") for n in range(count - 1)] + ["real"]
    check_classes(classes, version="v" * 20, training_data="simulated-v1")
    assert len(largest(classes).fitted()[1]) <= MAX_VERDICT_BYTES


def test_forty_classes_of_64_letters_are_refused_before_there_is_a_verdict():
    """They would not fit into one without its tables."""
    classes = [f"{n:02d}".ljust(64, "x") for n in range(39)] + ["real"]
    assert len(largest(classes).fitted()[1]) > MAX_VERDICT_BYTES
    with pytest.raises(CheckpointRefused):
        check_classes(classes)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4), st.lists(st.text(max_size=5), min_size=1, max_size=4))
def test_identities_collide_only_when_equal(first, second):
    """Property: joining or splitting parts differently gives another id."""
    assert (outcome_id(*first) == outcome_id(*second)) == (first == second)


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_moments_are_written_in_utc_with_a_z(moment):
    """Property: RFC 3339, milliseconds, and reading it back is the same millisecond."""
    text = rfc3339(moment)
    assert text.endswith("Z")
    assert abs((datetime.fromisoformat(text) - moment).total_seconds()) < 0.001


def test_the_generated_files_are_up_to_date():
    """Change the code, then run `make generate`."""
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == documents()


def test_the_generated_schema_accepts_what_the_code_writes_and_refuses_what_it_does_not():
    """The schema that other languages read agrees with the code."""
    schema = json.loads((FOLDER / "verdict.v1.schema.json").read_bytes())
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(json.loads(Verdict.model_validate(verdict()).to_bytes()))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(verdict(verdict="maybe"))


def test_the_asyncapi_document_names_every_topic_and_resolves():
    """Every channel's message and every schema file exists."""
    document = json.loads((FOLDER / "asyncapi.json").read_bytes())
    assert document["asyncapi"] == "3.0.0"
    for channel in document["channels"].values():
        for message in channel["messages"].values():
            assert message["$ref"].rsplit("/", 1)[1] in document["components"]["messages"]
    for message in document["components"]["messages"].values():
        reference = message["payload"].get("schema", {}).get("$ref")
        assert reference is None or (FOLDER / reference).is_file()


def test_every_error_has_a_code_of_its_own_and_stands_in_the_drawing():
    """Dead letters are told apart by code, and the tree's docstring is complete."""
    import schemas.errors as module

    errors = list(leaves())
    codes = [error.code for error in errors]
    assert len(set(codes)) == len(codes)
    assert [error.__name__ for error in errors if error.__name__ not in module.__doc__] == []
    assert all(issubclass(error, DeepTraceError) for error in errors)


@given(
    key=st.none() | st.binary(max_size=8),
    value=st.none() | st.binary(max_size=40),
    headers=st.lists(st.tuples(st.text(min_size=1, max_size=6), st.none() | st.binary(max_size=6)), max_size=4),
)
def test_a_dead_letter_gives_back_the_original_record(key, value, headers):
    """Property: key, value and headers come back untouched, in their order, repeats included."""
    original = Record(topic="images", partition=2, offset=9, key=key, value=value, headers=tuple(headers))
    error = ImageTruncated("the file ends early", why="at byte 5")
    added = dead_letter_headers(original, error, outcome_id="x" * 40, stage="decode", attempts=3)
    letter = DeadLetter.read(Record(topic="dlq", partition=0, offset=0, key=key, value=value, headers=added))
    assert (letter.key, letter.value, letter.original_headers) == (key, value, tuple(headers))
    assert (letter.code, letter.attempts, letter.stage) == ("image_truncated", 3, "decode")
    assert (letter.topic, letter.partition, letter.offset, letter.outcome_id) == ("images", 2, 9, "x" * 40)


def test_a_record_too_large_to_send_again_is_cut_and_says_so():
    """A compressed batch may hold 10 MiB; its dead letter has the beginning, the size and the hash."""
    value = b"x" * (10 << 20)
    original = Record("images", 0, 1, b"k" * 100_000, value, headers=(("big", b"h" * 100_000),))
    fitted = fit(original)
    headers = dict(fitted.headers)
    assert (len(fitted.value), fitted.key) == (64 * 1024, None)
    assert headers == {
        "dt-original-bytes": str(len(value)).encode(),
        "dt-original-sha256": hashlib.sha256(value).hexdigest().encode(),
    }
    assert fit(fitted) is fitted


def test_a_record_that_fits_is_not_touched():
    """The very same record."""
    original = Record("images", 0, 1, b"k", b"v" * 70_000, headers=(("a", None),))
    assert fit(original) is original
