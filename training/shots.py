"""What the network gets of one image, by the very pixel policy that serves. Runs in worker processes, so it imports no torch."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.decode import decode
from model.limits import DEFAULT_LIMITS
from model.pixels import preprocess
from model.policy import PixelPolicy
from training.corpus.laundering import launder
from training.corpus.seeds import chance, stream
from training.items import Item
from training.params import AugmentParams

VALIDATION_LAUNDER_SHARE: Final = 0.5
WEBP_MOST_PX: Final = 16383  # a longer side cannot be laundered to WebP, and is shown as it is


@dataclass(frozen=True, slots=True)
class Shot:
    """Pixels of one image, and what should be said of it."""

    crops: NDArray[np.uint8]  # [k, 224, 224, 3]
    view: NDArray[np.uint8]  # [224, 224, 3]
    label: int


@dataclass(frozen=True, slots=True)
class Draw:
    """One showing of an image in training; `again` counts how often it was shown before in this epoch."""

    item: Item
    again: int = 0


def training_shot(draw: Draw, *, seed: int, epoch: int, augment: AugmentParams, policy: PixelPolicy) -> Shot:
    """One random native crop of the image, clean or laundered, other ones each epoch and each time it is shown."""
    return _shot(draw.item, stream(seed, "train", epoch, draw.item.name, draw.again), augment, policy)


def validation_shot(item: Item, *, seed: int, augment: AugmentParams, policy: PixelPolicy) -> Shot:
    """One native crop of the image, half of the images laundered: the same in every epoch, and whatever share training launders."""
    fixed = augment.model_copy(update={"launder_share": VALIDATION_LAUNDER_SHARE})
    return _shot(item, stream(seed, "validation", item.name), fixed, policy)


def _shot(item: Item, rng: np.random.Generator, augment: AugmentParams, policy: PixelPolicy) -> Shot:
    data = item.path.read_bytes()
    if chance(rng, augment.launder_share):
        rgb = np.asarray(decode(data, DEFAULT_LIMITS).rgb)
        if max(rgb.shape) <= WEBP_MOST_PX:
            data = launder(rgb, rng, augment)
    pixels = preprocess(data, policy, seed=rng.bytes(8))
    pick = int(rng.integers(len(pixels.crops)))
    return Shot(pixels.crops[pick : pick + 1], pixels.view, item.label)
