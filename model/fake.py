"""A classifier for tests, load runs and first steps: no network, the same bytes always give the same answer."""

import hashlib
import time
from collections.abc import Callable, Sequence

import numpy as np

from model.classifier import Member, ModelInfo, Prediction
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
        preprocess_id: str = DEFAULT_POLICY.preprocess_id,
    ) -> None:
        self.info = ModelInfo(
            version="fake-1",
            sha256=hashlib.sha256(repr(classes).encode()).hexdigest(),
            calibration_id="none",
            preprocess_id=preprocess_id,
            classes=classes,
            training_data="none",
            kind="fake",
        )
        self._latency_s = latency_s
        self._latency_per_image_s = latency_per_image_s
        self._poison = poison
        self._null = _prediction(np.ones(len(classes))) if null else None

    def predict(self, batch: Sequence[Pixels], *, explain: Sequence[bool]) -> list[Prediction]:
        """Answer after `latency_s` and so much more an image; a batch with a poisoned image raises `BatchFailed` whole."""
        if self._null is not None:
            return [self._null] * len(batch)
        if delay_s := self._latency_s + self._latency_per_image_s * len(batch):
            time.sleep(delay_s)
        if self._poison is not None and any(map(self._poison, batch)):
            raise BatchFailed("the fake classifier was told to fail on an image of this batch")
        return [self._draw(pixels, wanted) for pixels, wanted in zip(batch, explain, strict=True)]

    def _draw(self, pixels: Pixels, explain: bool) -> Prediction:
        digest = hashlib.sha256(pixels.view.data).digest()
        # Squared, so that some classes stand out as they do in life.
        weights = np.frombuffer(digest, np.uint8)[: len(self.info.classes)].astype(np.float64) ** 2 + 1
        plain = _prediction(weights)
        if not explain:
            return plain
        heat = np.frombuffer(digest * 2, np.uint8)[:49].astype(np.float32).reshape(1, 7, 7) / 255
        return Prediction(
            probs=plain.probs,
            members=plain.members,
            cams=np.repeat(heat, len(pixels.crops), axis=0),
            cam_class=self.info.classes[int(plain.probs.argmax())],
        )


def _prediction(weights: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Prediction:
    probs = weights / weights.sum()
    return Prediction(probs=probs, members=(Member("fake", probs),))
