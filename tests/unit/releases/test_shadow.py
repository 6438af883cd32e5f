"""The shadow beside the champion, with classifiers that draw from a hash and a topic that is a list."""

import asyncio
import io
import threading

import numpy as np
import pytest
from PIL import Image

from model.fake import FakeClassifier
from model.pixels import preprocess
from schemas.errors import BrokerUnavailable
from schemas.shadow import ShadowVerdict
from streams.metrics import WorkerMetrics
from streams.releases.shadow import Shadow

CHAMPION = FakeClassifier(classes=("flux", "real"))


class Topic:
    """Keeps what is sent; fails to connect or to send while it is told to."""

    def __init__(self):
        self.records = []
        self.connected = 0
        self.failure = None

    async def start(self):
        if self.failure:
            raise self.failure
        self.connected += 1

    async def send(self, topic, *, key, value, headers=()):
        if self.failure:
            raise self.failure
        self.records.append((topic, key, ShadowVerdict.from_bytes(value), dict(headers)))

    async def stop(self):
        self.connected -= 1


class Held(FakeClassifier):
    """Does not answer until it is let go."""

    def __init__(self):
        super().__init__(classes=("dalle3", "real"))
        self.let_go = threading.Event()

    def predict(self, batch, *, explain):
        assert self.let_go.wait(30)
        return super().predict(batch, explain=explain)


def image(seed):
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(out, "PNG")
    return preprocess(out.getvalue(), seed=b"s")


def offer(shadow, count):
    for number in range(count):
        pixels = image(number)
        [prediction] = CHAMPION.predict([pixels], explain=[False])
        shadow.offer(f"outcome-{number}", "acme", f"image-{number}", pixels, prediction)


def counted(metrics):
    return {
        result: metrics.registry.get_sample_value("deeptrace_shadow_images_total", {"result": result}) or 0
        for result in ("published", "failed", "dropped")
    }


async def until_idle(shadow):
    while shadow._tasks:
        await asyncio.sleep(0.005)


@pytest.fixture
def topic():
    return Topic()


@pytest.fixture
def metrics():
    return WorkerMetrics()


@pytest.fixture
async def shadow(topic, metrics):
    made = Shadow(topic, metrics, waiting=3)
    yield made
    await made.close()
    assert topic.connected == 0


async def test_both_opinions_are_published_under_the_outcomes_id(shadow, topic):
    """To the shadow topic alone, keyed as the verdict is."""
    shadow.take(FakeClassifier(classes=("dalle3", "real")))
    offer(shadow, 1)
    await until_idle(shadow)
    [(name, key, said, headers)] = topic.records
    assert (name, key, said.outcome_id, headers["ce_id"]) == (
        "deeptrace.verdicts.shadow.v1",
        b"acme|image-0",
        "outcome-0",
        b"outcome-0",
    )
    assert set(said.champion.per_class_probs) == {"flux", "real"}
    assert set(said.candidate.per_class_probs) == {"dalle3", "real"}
    assert said.champion.sha256 == CHAMPION.info.sha256


async def test_without_a_candidate_nothing_happens(shadow, topic, metrics):
    """Nor while the candidate is the champion itself."""
    offer(shadow, 1)
    shadow.take(FakeClassifier(classes=("flux", "real")))
    offer(shadow, 1)
    await until_idle(shadow)
    assert topic.records == []
    assert counted(metrics) == {"published": 0, "failed": 0, "dropped": 0}


async def test_what_does_not_fit_is_dropped_and_nobody_waits(shadow, topic, metrics):
    """The candidate holds three images; the other seven are not kept for it."""
    held = Held()
    shadow.take(held)
    offer(shadow, 10)
    assert counted(metrics)["dropped"] == 7
    held.let_go.set()
    await until_idle(shadow)
    assert counted(metrics) == {"published": 3, "failed": 0, "dropped": 7}


async def test_pixels_of_another_policy_are_not_judged(shadow, metrics):
    """They would give wrong opinions."""
    shadow.take(FakeClassifier(classes=("dalle3", "real"), preprocess_id="crops1-224-native-v1"))
    offer(shadow, 2)
    assert counted(metrics)["dropped"] == 2


async def test_a_candidate_that_fails_costs_its_own_opinion_only(shadow, topic, metrics):
    """A poisoned image is bisected out of its batch; the others are compared."""
    poisoned = image(1).view.tobytes()
    shadow.take(FakeClassifier(classes=("dalle3", "real"), poison=lambda pixels: pixels.view.tobytes() == poisoned))
    offer(shadow, 3)
    await until_idle(shadow)
    assert counted(metrics) == {"published": 2, "failed": 1, "dropped": 0}
    assert {said.outcome_id for _, _, said, _ in topic.records} == {"outcome-0", "outcome-2"}


async def test_a_broker_that_is_away_costs_opinions_and_is_asked_again(shadow, topic, metrics):
    """Also where it was away from the start."""
    topic.failure = BrokerUnavailable("no broker answered")
    shadow.take(FakeClassifier(classes=("dalle3", "real")))
    offer(shadow, 2)
    await until_idle(shadow)
    topic.failure = None
    offer(shadow, 1)
    await until_idle(shadow)
    assert counted(metrics) == {"published": 1, "failed": 2, "dropped": 0}


async def test_closing_does_not_wait_for_what_waits(topic, metrics):
    """A worker that stops has verdicts to finish, not opinions."""
    held = Held()
    shadow = Shadow(topic, metrics, waiting=3)
    shadow.take(held)
    offer(shadow, 3)
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(shadow.close())
    await until_idle(shadow)
    held.let_go.set()
    await closing
    assert topic.records == []
