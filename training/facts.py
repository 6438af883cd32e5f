"""What a manifest says of a file: hash, length, size, format, and a perceptual hash for near duplicates."""

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.limits import DEFAULT_LIMITS, DecodeLimits
from model.pixels import Pixels, preprocess
from model.policy import PixelPolicy, policy_of

ONE_CROP: Final[PixelPolicy] = policy_of("crops1-224-native-v1")  # the least that a decoder process can be asked for
_SIDE: Final = 8


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Columns of a manifest row. `width` and `height` are those of the upright image."""

    sha256: str
    bytes: int
    width: int
    height: int
    format: str
    dhash: str


def facts_of(data: bytes, limits: DecodeLimits = DEFAULT_LIMITS) -> FileFacts:
    """Read the facts in this process; raises a rejection of the image. For files of strangers, see `training.inspection`."""
    return with_pixels(data, preprocess(data, ONE_CROP, seed=b"", limits=limits))


def with_pixels(data: bytes, pixels: Pixels) -> FileFacts:
    """Gather the facts of a file that a decoder has turned into pixels."""
    return FileFacts(
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        width=pixels.width,
        height=pixels.height,
        format=pixels.format,
        dhash=f"{dhash(pixels.thumb):016x}",
    )


def dhash(rgb: npt.NDArray[np.uint8]) -> int:
    """Return 64 bits: whether brightness rises from each cell of an 8 x 9 miniature to the next one in its row.

    Neal Krawetz's difference hash ("Kind of Like That", 2013). Survives compression and resizing, not cropping, turning or mirroring.
    """
    small = Image.fromarray(rgb).convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX)
    cells = np.asarray(small, dtype=np.int16)
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")
