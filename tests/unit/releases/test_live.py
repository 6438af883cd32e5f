"""One classifier for another, between two batches."""

import gc
import weakref

import numpy as np

from model.classifier import Prediction
from model.fake import FakeClassifier
from model.pixels import preprocess
from streams.releases.live import LiveClassifier


def classifier(name):
    """A fake with a class list, and so a hash, of its own."""
    return FakeClassifier(classes=(name, "real"), null=True)


class SwapsMidBatch(FakeClassifier):
    """Exchanges itself while it judges."""

    def __init__(self, successor):
        super().__init__(classes=("old", "real"))
        self.live = None
        self._successor = successor

    def predict(self, batch, *, explain):
        self.live.swap(self._successor)
        return super().predict(batch, explain=explain)


def png():
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(out, "PNG")
    return preprocess(out.getvalue(), seed=b"s")


def models(predictions: list[Prediction]) -> list[str]:
    return [prediction.model.classes[0] for prediction in predictions]


def test_every_batch_after_a_swap_goes_to_the_new_one():
    """Its info as well."""
    live = LiveClassifier(classifier("old"))
    assert models(live.predict([png()], explain=[False])) == ["old"]
    live.swap(classifier("new"))
    assert live.info.classes == ("new", "real")
    assert models(live.predict([png()], explain=[False])) == ["new"]


def test_a_batch_that_has_begun_ends_with_the_classifier_it_began_with():
    """All its images, whatever happens meanwhile."""
    old = SwapsMidBatch(classifier("new"))
    old.live = live = LiveClassifier(old)
    assert models(live.predict([png()] * 3, explain=[False] * 3)) == ["old"] * 3
    assert models(live.predict([png()], explain=[False])) == ["new"]


def test_the_one_before_is_let_go_of():
    """Two models lie in memory during a swap, not after it."""
    old = classifier("old")
    gone = weakref.ref(old)
    live = LiveClassifier(old)
    live.swap(classifier("new"))
    del old
    gc.collect()
    assert gone() is None
