"""A worker's model and its candidates: real checkpoints, swapped as an alias moves; no broker, no worker."""

import asyncio
import gc
import weakref

import numpy as np
import pytest
from support.tiny_release import ONE_CROP

from model.pixels import preprocess
from model.policy import policy_of
from streams.metrics import WorkerMetrics
from streams.releases.following import Following
from streams.releases.loading import load_release
from streams.releases.promotion import promote, roll_back
from streams.settings import Settings

BUCKET = "deeptrace-models"
SETTINGS = Settings.model_validate(
    {"model": {"release": "detector@champion", "shadow_release": "detector@shadow", "watch_s": 0.02, "device": "cpu"}}
)


@pytest.fixture
def metrics():
    return WorkerMetrics()


@pytest.fixture
async def following(registry, published, metrics):
    """Starts with 1.0, which the champion points at."""
    promote(registry, published["1.0"], "champion")
    made = Following(SETTINGS, load_release(registry, published["1.0"], SETTINGS.model), registry, metrics)
    made.start()
    yield made
    await made.stop()


def swaps(metrics, role, result):
    return metrics.registry.get_sample_value("deeptrace_model_swaps_total", {"role": role, "result": result}) or 0


async def until(metrics, role, result, count=1):
    """Wait for a result to be counted; the test's own timeout bounds it."""
    while swaps(metrics, role, result) < count:
        await asyncio.sleep(0.01)


def serving(metrics):
    [family] = [found for found in metrics.registry.collect() if found.name == "deeptrace_model_info"]
    return [sample.labels["version"] for sample in family.samples]


def image():
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (96, 96, 3), dtype=np.uint8)).save(out, "PNG")
    return preprocess(out.getvalue(), policy_of(ONE_CROP), seed=b"s")


async def test_what_the_alias_is_moved_to_judges(following, registry, published, metrics):
    """Under the version it was published as; the metric names it alone, and the one before is let go of."""
    old = weakref.ref(following.live._current)
    before = following.live.predict([image()], explain=[False])[0]
    promote(registry, published["1.1"], "champion")
    await until(metrics, "champion", "swapped")
    after = following.live.predict([image()], explain=[False])[0]
    assert (before.model.version, after.model.version) == ("1.0", "1.1")
    assert after.model.sha256 == published["1.1"].sha256
    assert serving(metrics) == ["1.1"]
    assert not np.allclose(before.probs, after.probs)
    del before
    gc.collect()
    assert old() is None


async def test_what_is_served_already_is_not_loaded_again(following, metrics):
    """The first look at the alias finds the model that the worker started with."""
    await until(metrics, "champion", "same")
    assert serving(metrics) == ["1.0"]


@pytest.mark.parametrize("version", ["five-crops", "simulated"])
async def test_a_release_that_cannot_be_served_here_is_refused(version, following, registry, published, metrics):
    """One for other pixels than the decoders serve, one that was trained on simulated images: the model that runs goes on."""
    promote(registry, published[version], "champion", allow_simulated=True)
    await until(metrics, "champion", "checkpoint_refused")
    assert following.live.info.version == "1.0"
    assert serving(metrics) == ["1.0"]


async def test_a_release_that_was_changed_after_its_promotion_is_refused(
    following, registry, store, published, metrics
):
    """One byte is enough; once it is restored, it is served without another promotion."""
    key = "models/detector/1.1/model.safetensors"
    good = store.get(BUCKET, key, max_bytes=1 << 30, deadline_s=1).data
    promote(registry, published["1.1"], "champion")
    await until(metrics, "champion", "swapped")
    roll_back(registry, "detector", "champion")
    await until(metrics, "champion", "swapped", 2)
    store.put(BUCKET, key, good[:-1] + bytes([good[-1] ^ 1]), content_type="x", deadline_s=1)
    forged = registry.pointer("detector", "champion").move.model_copy(
        update={"number": 4, "version": "1.1", "sha256": published["1.1"].sha256}
    )
    registry.move(forged)
    await until(metrics, "champion", "release_corrupt")
    assert following.live.info.version == "1.0"
    store.put(BUCKET, key, good, content_type="x", deadline_s=1)
    await until(metrics, "champion", "swapped", 3)
    assert following.live.info.version == "1.1"


async def test_a_shadow_comes_and_goes_with_its_alias(following, registry, published, metrics):
    """It judges nothing that is published as a verdict."""
    await until(metrics, "shadow", "none")
    promote(registry, published["1.1"], "shadow")
    await until(metrics, "shadow", "swapped")
    assert following.shadow.candidate.info.version == "1.1"
    assert following.live.info.version == "1.0"
    roll_back(registry, "detector", "shadow")
    await until(metrics, "shadow", "none", 2)
    assert following.shadow.candidate is None


async def test_without_a_release_nothing_is_followed(checkpoints, metrics):
    """A file is a file."""
    from model.checkpoint import load_classifier

    made = Following(Settings(), load_classifier(checkpoints["1.0"], device="cpu"), None, metrics)
    made.start()
    assert made.shadow is None
    assert serving(metrics) == ["file-1.0"]
    await made.stop()
