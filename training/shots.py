"""What the network gets of one image, by the very pixel policy that serves. Runs in worker processes, so it imports no torch."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.pixels import preprocess
from model.policy import PixelPolicy
from training.corpus.build import CLASSES, Example
from training.corpus.files import jpeg
from training.corpus.laundering import decoded, launder
from training.corpus.seeds import chance, stream

JPEG_SWEEP = (95, 85, 75, 50)
CONDITIONS = ("clean", "laundered", *(f"jpeg_q{quality}" for quality in JPEG_SWEEP))


@dataclass(frozen=True, slots=True)
class Shot:
    """Pixels of one image, and what should be said of it."""

    crops: NDArray[np.uint8]  # [k, 224, 224, 3]
    view: NDArray[np.uint8]  # [224, 224, 3]
    label: int
    group: int


def training_shot(example: Example, *, seed: int, epoch: int, launder_share: float, policy: PixelPolicy) -> Shot:
    """One random native crop of the example, clean or laundered, other ones each epoch."""
    rng = stream(seed, "train", epoch, example.scene, example.label)
    data = launder(decoded(example.data), rng) if chance(rng, launder_share) else example.data
    pixels = preprocess(data, policy, seed=rng.bytes(8))
    pick = int(rng.integers(len(pixels.crops)))
    return Shot(pixels.crops[pick : pick + 1], pixels.view, CLASSES.index(example.label), example.scene)


def served_shot(example: Example, *, seed: int, condition: str, policy: PixelPolicy) -> Shot:
    """All crops that serving would take of the example under a condition of CONDITIONS.

    The five classes of a scene are laundered by the same draw.
    """
    data = example.data
    if condition == "laundered":
        data = launder(decoded(data), stream(seed, "test", example.scene))
    elif condition != "clean":
        data = jpeg(decoded(data), int(condition.removeprefix("jpeg_q")))
    pixels = preprocess(data, policy, seed=hashlib.sha256(data).digest())
    return Shot(pixels.crops, pixels.view, CLASSES.index(example.label), example.scene)
