"""The way of one reference, with a store in memory, a fake classifier, and decoding in this process."""

import asyncio
import hashlib
import io
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from model.classifier import Prediction
from model.fake import FakeClassifier
from model.pixels import preprocess
from schemas.errors import DependencyDownTooLong, StoreUnavailable
from schemas.incoming import Record
from storage.memory import MemoryStore
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.pipeline import Pipeline
from streams.settings import Settings

BUCKET, OVERLAYS = "deeptrace-images", "deeptrace-overlays"
SETTINGS = Settings.model_validate(
    {
        "pipeline": {
            "retry_first_s": 0.001,
            "retry_last_s": 0.002,
            "dependency_wait_s": 0.01,
            "dependency_give_up_s": 1.0,
            "object_wait_s": 0.1,
        }
    }
)


class InlineDecoder:
    """Decodes here and now: what a decoder process does, without the process."""

    async def decode(self, data, *, seed):
        return preprocess(data, seed=seed)


def png(side=64, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def store():
    return MemoryStore({BUCKET, OVERLAYS})


@pytest.fixture
async def run(store):
    """Return a function from a reference (fields changed) to its outcome."""
    pipelines = []

    async def outcome(classifier=None, *, raw=None, **changes):
        metrics = WorkerMetrics()
        pipeline = Pipeline(
            SETTINGS,
            objects=Objects(store, SETTINGS.store),
            decoder=InlineDecoder(),
            classifier=classifier or FakeClassifier(),
            metrics=metrics,
        )
        pipelines.append(pipeline)
        value = raw if raw is not None else json.dumps(reference(**changes)).encode()
        record = Record("images", 1, 5, b"key", value, timestamp=datetime(2026, 11, 22, tzinfo=UTC))
        [found] = await pipeline.outcomes(record)
        return found

    yield outcome
    for pipeline in pipelines:
        await pipeline.close()


def reference(**changes):
    place = {"bucket": BUCKET, "key": "a", **changes.pop("object", {})}
    return {"event_id": "e", "image_id": "i", "tenant": "acme", "object": place, **changes}


def put(store, data, key="a"):
    return store.put(BUCKET, key, data, content_type="image/png", deadline_s=1)


async def test_an_image_gets_a_verdict_that_says_what_it_rests_on(run, store):
    """Probabilities, the judged bytes, the model and the record it came from."""
    data = png()
    put(store, data)
    outcome = await run(external_id="x-1", labels={"feed": "home"})
    verdict = outcome.verdict
    assert (outcome.topic, outcome.key) == ("deeptrace.verdicts.v1", b"acme|i")
    assert verdict.object.sha256 == hashlib.sha256(data).hexdigest()
    assert (verdict.object.format, verdict.object.width, verdict.object.height) == ("PNG", 64, 64)
    assert (verdict.source.topic, verdict.source.partition, verdict.source.offset) == ("images", 1, 5)
    assert (verdict.external_id, verdict.labels, verdict.tenant) == ("x-1", {"feed": "home"}, "acme")
    assert verdict.model.kind == "fake"
    assert sum(verdict.per_class_probs.values()) == pytest.approx(1)
    assert "low_res" in verdict.flags
    assert dict(outcome.headers)["ce_id"].decode() == outcome.outcome_id == verdict.outcome_id


async def test_a_wanted_overlay_is_written_under_a_key_of_ours(run, store):
    """The key derives from the outcome id; nothing of the input names an object of ours."""
    put(store, png())
    verdict = (await run(want={"overlay": "always"})).verdict
    explanation = verdict.explanation
    assert (explanation.status, explanation.bucket) == ("written", OVERLAYS)
    assert explanation.key == f"overlays/{verdict.outcome_id[:2]}/{verdict.outcome_id}.webp"
    overlay = store.get(OVERLAYS, explanation.key, max_bytes=1 << 20, deadline_s=1).data
    assert Image.open(io.BytesIO(overlay)).size == (64, 64)


async def test_an_unwanted_overlay_is_not_written(run, store):
    """`never` costs no request."""
    put(store, png())
    assert (await run(want={"overlay": "never"})).verdict.explanation.status == "skipped"
    assert list(store.list(OVERLAYS)) == []


@pytest.mark.parametrize(
    ("data", "changes", "code", "stage"),
    [
        (None, {}, "object_not_found", "fetch"),
        (b"", {}, "object_empty", "fetch"),
        (b"hello, world", {}, "not_an_image", "decode"),
        (png()[:-300], {}, "image_truncated", "decode"),
        (png(), {"object": {"sha256": "0" * 64}}, "object_changed", "fetch"),
        (png(), {"object": {"size_bytes": 3}}, "object_changed", "fetch"),
        (png(), {"object": {"etag": "other"}}, "object_changed", "fetch"),
        (png(), {"object": {"bucket": "secrets"}}, "bucket_forbidden", "parse"),
    ],
)
async def test_what_cannot_be_judged_is_a_dead_letter_with_the_original(run, store, data, changes, code, stage):
    """The original key and value, and headers that say what, where and why."""
    if data is not None:
        put(store, data)
    outcome = await run(**changes)
    headers = {name: value.decode() for name, value in outcome.headers}
    assert outcome.topic == "deeptrace.images.v1.dlq"
    assert (outcome.key, outcome.value) == (b"key", json.dumps(reference(**changes)).encode())
    assert headers["dt-error-code"] == code
    assert headers["__connect.errors.stage"] == stage
    assert headers["__connect.errors.offset"] == "5"
    assert headers["dt-outcome-id"] == outcome.outcome_id


async def test_a_transient_error_is_tried_a_bounded_number_of_times(run):
    """An object that never appears is dead-lettered after the configured attempts."""
    outcome = await run()
    assert dict(outcome.headers)["dt-attempts"] == str(SETTINGS.pipeline.attempts).encode()


async def test_an_object_that_appears_late_is_judged(run, store):
    """Notifications may overtake the upload."""
    pending = asyncio.create_task(run())
    await asyncio.sleep(0)
    put(store, png())
    assert (await pending).verdict is not None


async def test_a_store_that_is_down_is_waited_for(run, store):
    """An outage makes no dead letter, however long it lasts."""
    put(store, png())
    with store.outage():
        pending = asyncio.create_task(run())
        done, _ = await asyncio.wait({pending}, timeout=0.3)
        assert not done
    assert (await pending).verdict is not None


async def test_an_image_the_model_fails_on_is_a_dead_letter(run, store):
    """Alone in its batch after bisecting, it gets `inference_failed`."""
    put(store, png())
    outcome = await run(FakeClassifier(poison=lambda _pixels: True))
    assert dict(outcome.headers)["dt-error-code"] == b"inference_failed"


async def test_a_tiny_image_is_not_assessable_and_carries_no_probability(run, store):
    """Too few pixels: a number would be noise dressed as evidence."""
    put(store, png(side=16))
    verdict = (await run(want={"overlay": "always"})).verdict
    assert (verdict.verdict, verdict.p_ai, verdict.predicted_source) == ("not_assessable", None, None)
    assert verdict.explanation.status == "skipped"


async def test_a_message_that_does_not_parse_keeps_its_bytes(run):
    """Garbage goes to the dead letters byte by byte."""
    outcome = await run(raw=b"\xff{garbage")
    assert outcome.value == b"\xff{garbage"
    assert dict(outcome.headers)["dt-error-code"] == b"message_not_json"


async def test_an_overlay_that_is_refused_does_not_cost_the_verdict(run, store):
    """A forgotten right on the overlay bucket degrades the verdict; it must not dead-letter every image."""
    put(store, png())
    outcome = await run(want={"overlay": "always"})
    store.denied.add((OVERLAYS, outcome.verdict.explanation.key))
    verdict = (await run(want={"overlay": "always"})).verdict
    assert verdict.explanation.status == "failed"
    assert (verdict.status, verdict.degraded) == ("degraded", ("overlay_failed",))


async def test_probabilities_that_are_no_numbers_are_never_a_verdict(run, store):
    """NaN must not become `real` with full confidence."""

    class Nonsense(FakeClassifier):
        def predict(self, batch, *, explain):
            return [Prediction(np.full(5, np.nan)) for _ in batch]

    put(store, png())
    assert dict((await run(Nonsense())).headers)["dt-error-code"] == b"inference_failed"


async def test_a_store_that_stays_away_too_long_ends_the_worker(run, store):
    """The error is none that is dead-lettered, and carries exit code 75."""
    put(store, png())
    with store.outage(), pytest.raises(DependencyDownTooLong) as caught:
        await run()
    assert caught.value.exit_code == 75


async def test_a_store_that_fails_on_one_object_alone_does_not_hold_up_the_rest():
    """An object that always gives a server error, in a store that serves all others, is dead-lettered in the end."""

    class Rotten(MemoryStore):
        def get(self, bucket, key, **options):
            if key == "rotten":
                raise StoreUnavailable("500 for this object")
            return super().get(bucket, key, **options)

    rotten = Rotten({BUCKET, OVERLAYS})
    put(rotten, png())
    pipeline = Pipeline(
        SETTINGS,
        objects=Objects(rotten, SETTINGS.store),
        decoder=InlineDecoder(),
        classifier=FakeClassifier(),
        metrics=WorkerMetrics(),
    )

    async def outcome(key):
        value = json.dumps(reference(object={"key": key})).encode()
        [found] = await pipeline.outcomes(Record("images", 0, 0, None, value))
        return found

    pending = asyncio.create_task(outcome("rotten"))
    while not pending.done():
        assert (await outcome("a")).verdict is not None
        await asyncio.sleep(0.02)
    assert dict((await pending).headers)["dt-error-code"] == b"object_refused"
    await pipeline.close()
