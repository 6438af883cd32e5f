"""From the bytes of a file to the pixels the model sees; numpy and Pillow only, so that training and decoders share it."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.config import CROP_PX
from model.decode import Decoded, decode
from model.limits import DEFAULT_LIMITS, DecodeLimits
from model.policy import DEFAULT_POLICY, PixelPolicy
from model.sniff import Format

THUMB_PX = 512

Bytes = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.int32]
Box = tuple[int, int, int, int]

BLANK_DEVIATION: Final = 1.0
"""Levels of 255. One colour has 0, also after JPEG; rounding to whole levels alone makes 0.3. The flattest of the 55 true images at hand has 30."""

_LEVELS: Final = np.arange(256, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Pixels:
    """One image as the model takes it; every array is read-only by convention and C-contiguous."""

    crops: Bytes  # [k, 224, 224, 3], native resolution, the centre first
    boxes: Boxes  # [k, 4] left, top, right, bottom in the upright image; reaches over its edge where it was padded
    view: Bytes  # [224, 224, 3], the whole image
    thumb: Bytes  # [h, w, 3], the longest side at most 512
    format: Format
    width: int  # of the upright image
    height: int
    frames: int
    flags: tuple[str, ...]
    preprocess_id: str


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself before it ends too early: enough to name it in a verdict, nothing to judge."""

    format: str
    width: int  # as stored: the orientation is not read
    height: int
    frames: int = 1
    flags: tuple[str, ...] = ()


def preprocess(
    data: bytes,
    policy: PixelPolicy = DEFAULT_POLICY,
    *,
    seed: bytes,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> Pixels:
    """Decode `data` by `policy`; the same bytes, policy and seed give the same pixels. Raises a rejection of the image."""
    return cut(decode(data, limits), policy, seed=seed)


def cut(image: Decoded, policy: PixelPolicy = DEFAULT_POLICY, *, seed: bytes) -> Pixels:
    """Take crops, view and thumb from an upright RGB picture."""
    width, height = image.rgb.size
    flags = set(image.flags)
    if width < CROP_PX or height < CROP_PX:
        flags.add("low_res")
    boxes = [(left, top, left + CROP_PX, top + CROP_PX) for left, top in _corners(width, height, policy.crops, seed)]
    crops, view = crops_at(image.rgb, boxes), view_of(image.rgb)
    if is_blank(view, *crops):
        flags.add("blank")
    return Pixels(
        crops=crops,
        boxes=np.array(boxes, dtype=np.int32),
        view=view,
        thumb=np.asarray(_thumb(image.rgb)),
        format=image.format,
        width=width,
        height=height,
        frames=image.frames,
        flags=tuple(sorted(flags)),
        preprocess_id=policy.preprocess_id,
    )


def _corners(width: int, height: int, count: int, seed: bytes) -> Iterator[tuple[int, int]]:
    """Yield the left top corners: the centre, then distinct places drawn by the seed, as many as there are up to `count`."""
    columns, rows = max(width - CROP_PX, 0) + 1, max(height - CROP_PX, 0) + 1
    centre = ((width - CROP_PX) // 2, (height - CROP_PX) // 2)
    yield centre
    seen, draw = {centre}, 0
    while len(seen) < min(count, columns * rows):
        # SHA-256 and not a random generator: the places must be the same in every release of numpy and Python.
        digest = hashlib.sha256(seed + draw.to_bytes(4, "big")).digest()
        draw += 1
        corner = (
            int.from_bytes(digest[:8], "big") % columns if width >= CROP_PX else centre[0],
            int.from_bytes(digest[8:16], "big") % rows if height >= CROP_PX else centre[1],
        )
        if corner not in seen:
            seen.add(corner)
            yield corner


def crops_at(rgb: Image.Image, boxes: Iterable[Box]) -> Bytes:
    """Cut the boxes, 224 x 224 pixels each; where the picture is smaller, it is reflected outwards as often as needed."""
    return np.stack([_crop(rgb, *box) for box in boxes])


def view_of(rgb: Image.Image) -> Bytes:
    """Squash the whole picture to 224 x 224."""
    return np.asarray(rgb.resize((CROP_PX, CROP_PX), Image.Resampling.BICUBIC, reducing_gap=3.0))


def is_blank(*parts: Bytes) -> bool:
    """Whether no channel of any part deviates from its mean by `BLANK_DEVIATION` levels: a picture of nothing."""
    return all(_deviation(part) < BLANK_DEVIATION for part in parts)


def _deviation(part: Bytes) -> float:
    """The largest standard deviation of a channel, in levels of 255; from the histogram, which costs a tenth of a millisecond."""
    counts = np.array(Image.fromarray(part).histogram()).reshape(3, 256)
    shares = counts / counts.sum(axis=1, keepdims=True)
    means = shares @ _LEVELS
    return float(np.sqrt(np.maximum(shares @ _LEVELS**2 - means**2, 0.0)).max())


def _crop(rgb: Image.Image, left: int, top: int, right: int, bottom: int) -> Bytes:
    inside = (max(left, 0), max(top, 0), min(right, rgb.width), min(bottom, rgb.height))
    piece = np.asarray(
        rgb.crop(inside)
    )  # cut first, padded then: padding a 1 x 40,000,000 picture whole would need 27 GB
    beyond = ((inside[1] - top, bottom - inside[3]), (inside[0] - left, right - inside[2]), (0, 0))
    return np.pad(piece, beyond, mode="reflect") if np.any(beyond) else piece


def thumb_size(width: int, height: int) -> tuple[int, int]:
    """Return width and height of the thumb: the longest side at most 512; smaller pictures are kept as they are."""
    scale = THUMB_PX / max(width, height)
    return (width, height) if scale >= 1 else (max(1, round(width * scale)), max(1, round(height * scale)))


def _thumb(rgb: Image.Image) -> Image.Image:
    size = thumb_size(*rgb.size)
    return rgb if size == rgb.size else rgb.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
