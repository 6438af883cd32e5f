"""From the bytes of a file to the pixels the model sees; numpy and Pillow only, so that training and decoders share it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

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
    low_res = width < CROP_PX or height < CROP_PX
    corners = list(_corners(width, height, policy.crops, seed))
    view = image.rgb.resize((CROP_PX, CROP_PX), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return Pixels(
        crops=np.stack([_crop(image.rgb, left, top) for left, top in corners]),
        boxes=np.array([(left, top, left + CROP_PX, top + CROP_PX) for left, top in corners], dtype=np.int32),
        view=np.asarray(view),
        thumb=np.asarray(_thumb(image.rgb)),
        format=image.format,
        width=width,
        height=height,
        frames=image.frames,
        flags=tuple(sorted({*image.flags, *(["low_res"] if low_res else [])})),
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


def _crop(rgb: Image.Image, left: int, top: int) -> Bytes:
    """Cut 224 x 224 pixels; where the picture is smaller, it is reflected outwards as often as needed."""
    right, bottom = left + CROP_PX, top + CROP_PX
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
