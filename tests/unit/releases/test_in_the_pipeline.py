"""A swap and a shadow seen from the way of a reference: store in memory, fake classifiers, no broker."""

import io
import json

import numpy as np
from PIL import Image

from model.fake import FakeClassifier
from model.pixels import preprocess
from schemas.incoming import Record
from storage.memory import MemoryStore
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.pipeline import Delivery, Pipeline
from streams.releases.live import LiveClassifier
from streams.releases.shadow import Shadow
from streams.settings import Settings

BUCKET = "deeptrace-images"
SETTINGS = Settings()
OLD, NEW = FakeClassifier(classes=("flux", "real")), FakeClassifier(classes=("dalle3", "midjourney", "real"))


class InlineDecoder:
    """Decodes here and now."""

    async def decode(self, data, *, seed):
        return preprocess(data, seed=seed)


class NoTopic:
    """A broker that takes nothing."""

    async def start(self):
        raise OSError("no broker")

    async def send(self, topic, *, key, value, headers=()):
        raise AssertionError("never connected")

    async def stop(self):
        raise AssertionError("never connected")


async def judge(pipeline, event_id):
    """Return the verdict on the one picture that there is."""
    value = {
        "event_id": event_id,
        "image_id": event_id,
        "object": {"bucket": BUCKET, "key": "k"},
        "want": {"overlay": "never"},
    }
    record = Record(topic="images", partition=0, offset=0, key=None, value=json.dumps(value).encode())
    [(outcome, _)] = await pipeline.outcomes(Delivery(record))
    return outcome.verdict


def pipeline_of(classifier, shadow=None):
    store = MemoryStore({BUCKET, "deeptrace-overlays"})
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(out, "PNG")
    store.put(BUCKET, "k", out.getvalue(), content_type="image/png", deadline_s=1)
    return Pipeline(
        SETTINGS,
        objects=Objects(store, SETTINGS.store),
        decoder=InlineDecoder(),
        classifier=classifier,
        metrics=WorkerMetrics(),
        shadow=shadow,
    )


async def test_a_verdict_carries_the_model_that_gave_it():
    """Its classes too: another list after the swap is no trouble."""
    live = LiveClassifier(OLD)
    pipeline = pipeline_of(live)
    before = await judge(pipeline, "before")
    live.swap(NEW)
    after = await judge(pipeline, "after")
    assert (before.model.classes, set(before.per_class_probs)) == (("flux", "real"), {"flux", "real"})
    assert (after.model.sha256, set(after.per_class_probs)) == (NEW.info.sha256, set(NEW.info.classes))
    await pipeline.close()


async def test_a_shadow_that_fails_changes_no_verdict():
    """Its broker is away, its candidate judges another way: the verdict is that of the champion alone."""
    metrics = WorkerMetrics()
    shadow = Shadow(NoTopic(), metrics)
    shadow.take(NEW)
    alone, shadowed = pipeline_of(OLD), pipeline_of(OLD, shadow)
    plain, beside = await judge(alone, "e"), await judge(shadowed, "e")
    assert plain.per_class_probs == beside.per_class_probs
    assert (plain.outcome_id, plain.verdict, plain.model) == (beside.outcome_id, beside.verdict, beside.model)
    await shadow.close()
    await alone.close()
    await shadowed.close()
