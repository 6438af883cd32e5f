"""What becomes of an overlay on its way into the store: written, withheld, failed; the verdict stands in any case."""

import io
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from model.fake import FakeClassifier
from model.pixels import preprocess
from schemas.errors import BatchFailed, DeviceLost
from schemas.incoming import Record
from storage.memory import MemoryStore
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.pipeline import Delivery, Pipeline
from streams.settings import Settings

BUCKET, OVERLAYS = "deeptrace-images", "deeptrace-overlays"


class InlineDecoder:
    """Decodes here and now."""

    async def decode(self, data, *, seed):
        return preprocess(data, seed=seed)


class Uncertain(FakeClassifier):
    """Fails when its maps are doubted, and only then."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def faithfulness(self, batch, predictions):
        raise self.error


@pytest.fixture
def store():
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "PNG")
    store = MemoryStore({BUCKET, OVERLAYS})
    store.put(BUCKET, "a", data.getvalue(), content_type="image/png", deadline_s=1)
    return store


async def judge(store, classifier, *, overlay="always", **pipeline_settings):
    """Return the verdict on the one image of the store."""
    settings = Settings.model_validate({"kafka": {"retry_delays_s": []}, "pipeline": pipeline_settings})
    pipeline = Pipeline(
        settings,
        objects=Objects(store, settings.store),
        decoder=InlineDecoder(),
        classifier=classifier,
        metrics=WorkerMetrics(),
    )
    body = {
        "event_id": "e",
        "image_id": "i",
        "object": {"bucket": BUCKET, "key": "a"},
        "want": {"overlay": overlay},
    }
    record = Record("images", 0, 0, None, json.dumps(body).encode(), timestamp=datetime(2026, 11, 22, tzinfo=UTC))
    try:
        [(outcome, _)] = await pipeline.outcomes(Delivery(record))
    finally:
        await pipeline.close()
    return outcome.verdict


async def test_an_overlay_that_beats_chance_is_written_with_its_figure(store):
    """0.1 more than random maps, for the class that the map is of."""
    verdict = await judge(store, FakeClassifier(faithful=0.1))
    explanation = verdict.explanation
    assert (explanation.status, explanation.faithfulness) == ("written", 0.1)
    assert explanation.target_class == max(verdict.per_class_probs, key=verdict.per_class_probs.get)
    assert [info.key for info in store.list(OVERLAYS)] == [explanation.key]


@pytest.mark.parametrize("figure", [0.0, -0.2])
async def test_an_overlay_that_does_not_is_withheld_and_says_so(store, figure):
    """At chance or under it: no object, the figure in the verdict, and nothing is degraded: that is the answer."""
    verdict = await judge(store, FakeClassifier(faithful=figure))
    explanation = verdict.explanation
    assert (explanation.status, explanation.faithfulness) == ("withheld", figure)
    assert (explanation.bucket, explanation.key) == (None, None)
    assert (explanation.method, explanation.member) == ("grad-cam", "cnn")
    assert (verdict.status, verdict.degraded) == ("ok", ())
    assert list(store.list(OVERLAYS)) == []


async def test_a_classifier_that_measures_nothing_leaves_the_figure_out(store):
    """Absent means not computed."""
    explanation = (await judge(store, FakeClassifier(faithful=None))).explanation
    assert explanation.status == "written"
    assert "faithfulness" not in explanation.to_json()


async def test_an_overlay_that_cannot_be_measured_is_not_published_and_the_verdict_stands(store):
    """Failed and degraded: a picture that nobody has doubted is no evidence."""
    verdict = await judge(store, Uncertain(BatchFailed("out of memory")))
    assert verdict.verdict in {"ai_generated", "real", "inconclusive"}
    assert (verdict.explanation.status, verdict.explanation.faithfulness) == ("failed", None)
    assert (verdict.status, verdict.degraded) == ("degraded", ("overlay_failed",))
    assert list(store.list(OVERLAYS)) == []


async def test_nothing_is_measured_where_no_overlay_is_wanted(store):
    """`never` costs no pass of the model."""
    verdict = await judge(store, Uncertain(AssertionError("asked")), overlay="never")
    assert (verdict.explanation.status, verdict.degraded) == ("skipped", ())


async def test_nothing_is_measured_where_it_is_turned_off(store):
    """`pipeline.faithfulness: false` publishes every overlay, as before."""
    explanation = (await judge(store, Uncertain(AssertionError("asked")), faithfulness=False)).explanation
    assert (explanation.status, explanation.faithfulness) == ("written", None)


async def test_a_device_that_is_lost_while_measuring_ends_the_worker(store):
    """As it does while judging: nothing was acknowledged, so nothing is lost."""
    with pytest.raises(DeviceLost):
        await judge(store, Uncertain(DeviceLost("the GPU is lost")))
