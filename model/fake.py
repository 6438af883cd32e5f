"""A classifier for tests, load runs and first steps: no network, the same bytes always give the same answer."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from model.abstention import Abstention
from model.classifier import Features, Member, ModelInfo, Prediction, Probs
from model.embedding import BYTES
from model.pixels import Pixels
from model.policy import DEFAULT_POLICY
from schemas.errors import BatchFailed

CLASSES = ("stable_diffusion", "midjourney", "dalle3", "flux", "real")


class FakeClassifier:
    """Draws probabilities from a hash of the view. `null` gives the same answer to all, at no cost."""

    def __init__(
        self,
        *,
        classes: tuple[str, ...] = CLASSES,
        latency_s: float = 0.0,
        latency_per_image_s: float = 0.0,
        poison: Callable[[Pixels], bool] | None = None,
        null: bool = False,
        faithful: float | None = 0.1,
        preprocess_id: str = DEFAULT_POLICY.preprocess_id,
        abstention: Abstention | None = None,
        unknown: Callable[[Pixels], int | None] | None = None,
    ) -> None:
        """With rules of `abstention` it abstains by them; its scores of novelty are drawn from 0..1.

        What is novel by them lies in a direction of its own; images for which `unknown` gives a number are novel and lie where that number's do.
        """
        self.info = ModelInfo(
            version="fake-1",
            sha256=hashlib.sha256(repr(classes).encode()).hexdigest(),
            calibration_id="none",
            preprocess_id=preprocess_id,
            classes=classes,
            training_data="none",
            kind="fake",
            abstention=abstention,
        )
        self._latency_s = latency_s
        self._latency_per_image_s = latency_per_image_s
        self._poison = poison
        self._faithful = faithful
        self._unknown = unknown
        self._null = self._answer(np.ones(len(classes))) if null else None

    def predict(self, batch: Sequence[Pixels], *, explain: Sequence[bool]) -> list[Prediction]:
        """Answer after `latency_s` and so much more an image; a batch with a poisoned image raises `BatchFailed` whole."""
        if self._null is not None:
            return [self._null] * len(batch)
        if delay_s := self._latency_s + self._latency_per_image_s * len(batch):
            time.sleep(delay_s)
        if self._poison is not None and any(map(self._poison, batch)):
            raise BatchFailed("the fake classifier was told to fail on an image of this batch")
        return [self._draw(pixels, wanted) for pixels, wanted in zip(batch, explain, strict=True)]

    def faithfulness(self, batch: Sequence[Pixels], predictions: Sequence[Prediction]) -> list[float | None]:
        """Call every map as faithful as this classifier was told to; a batch with a poisoned image raises `BatchFailed` whole."""
        if self._poison is not None and any(map(self._poison, batch)):
            raise BatchFailed("the fake classifier was told to fail on an image of this batch")
        return [None if one.cams is None else self._faithful for one in predictions]

    def _draw(self, pixels: Pixels, explain: bool) -> Prediction:
        digest = hashlib.sha256(pixels.view.data).digest()
        # Squared, so that some classes stand out as they do in life.
        count = len(self.info.classes)
        weights = np.frombuffer(digest * (count // len(digest) + 1), np.uint8)[:count].astype(np.float64) ** 2 + 1
        plain = self._placed(self._answer(weights, novelty=digest[-1] / 255), pixels, digest)
        if not explain:
            return plain
        heat = np.frombuffer(digest * 2, np.uint8)[:49].astype(np.float32).reshape(1, 7, 7) / 255
        return replace(
            plain,
            cams=np.repeat(heat, len(pixels.crops), axis=0),
            cam_class=self.info.classes[int(plain.probs.argmax())],
        )

    def _placed(self, plain: Prediction, pixels: Pixels, digest: bytes) -> Prediction:
        rules = self.info.abstention
        if rules is None or rules.novelty is None or plain.novelty is None:
            return plain
        number = self._unknown(pixels) if self._unknown else None
        novelty = plain.novelty if number is None else rules.novelty.threshold + 1
        if novelty <= rules.novelty.threshold:
            return plain
        place = _direction(digest)
        if number is not None:
            place = np.asarray(place / 4 + _direction(b"%d" % number), np.float32)
        return replace(plain, novelty=novelty, nearest=self.info.classes[int(plain.probs.argmax())], place=place)

    def _answer(self, weights: Probs, novelty: float = 0.0) -> Prediction:
        probs = weights / weights.sum()
        rules = self.info.abstention
        return Prediction(
            probs=probs,
            model=self.info,
            members=(Member("fake", probs),),
            novelty=novelty if rules is not None and rules.novelty is not None else None,
        )


def _direction(seed: bytes) -> Features:
    """Return 32 numbers from -1 to 1, the same for the same seed."""
    drawn = np.frombuffer(hashlib.shake_256(seed).digest(BYTES), np.uint8)
    return np.asarray(drawn.astype(np.float32) / 127.5 - 1)
