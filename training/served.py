"""Images of a manifest as serving would see them under a condition. Runs in worker processes, so it imports no torch."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.pixels import preprocess
from model.policy import PixelPolicy
from schemas.errors import Rejection, UsageError
from training.conditions import under
from training.corpus.build import Map
from training.corpus.seeds import stream


@dataclass(frozen=True, slots=True)
class Image:
    """One labelled image of a set: where it lies, what it is, and what it hangs together with."""

    path: Path
    name: str  # as the manifest has it
    label: int  # place in the checkpoint's classes; UNKNOWN for a class that it was never taught
    unit: str  # images of one unit are drawn, laundered and counted together


UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Seen:
    """The pixels that the network gets of one image."""

    crops: NDArray[np.uint8]  # [k, 224, 224, 3]
    view: NDArray[np.uint8]  # [224, 224, 3]


@dataclass(frozen=True, slots=True)
class Refused:
    """An image that the pixel policy rejects."""

    code: str


def served(
    images: Sequence[Image], condition: str, ordered_map: Map, *, seed: int, policy: PixelPolicy
) -> Iterator[Seen | Refused]:
    """Yield what serving would see of each image, in order; the images of a unit share the draw of the condition.

    Raises `UsageError` for a file that is not there.
    """
    return ordered_map(partial(_serve, condition=condition, seed=seed, policy=policy), images)


def arrived(image: Image, condition: str, *, seed: int) -> bytes:
    """Return the bytes of an image as they arrive under a condition; raises a rejection, or `UsageError` for a file that is not there."""
    try:
        data = image.path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{image.name} cannot be read",
            why=error.strerror or type(error).__name__,
            remedy="Restore the file, or list the images anew: `deeptrace data manifest FOLDER`.",
        ) from error
    return under(data, condition, stream(seed, "served", condition, image.unit))


def _serve(image: Image, *, condition: str, seed: int, policy: PixelPolicy) -> Seen | Refused:
    try:
        data = arrived(image, condition, seed=seed)
        pixels = preprocess(data, policy, seed=hashlib.sha256(data).digest())
    except Rejection as rejection:
        return Refused(rejection.code)
    return Seen(pixels.crops, pixels.view)
