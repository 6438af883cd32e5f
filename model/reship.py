"""The same image as it reaches people: compressed again, reduced, converted. A verdict that does not survive that says nothing about the image.

From pixels to pixels, so nothing is fetched or decoded twice, and the cost does not grow with the picture: compressed are the crops, which is what
the model sees of it, and the thumb in place of the whole. A crop by itself has its blocks on another grid than the whole picture would have, which is
as good as any: who delivers an image crops it as he likes. What is decoded here is what was encoded here, from arrays; no stranger's file.
"""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from PIL import Image

from model.decode import from_array
from model.pixels import Bytes, Pixels, crops_at, cut, view_of
from model.policy import policy_of

JPEG_QUALITY: Final = 60
WEBP_QUALITY: Final = 80

Ship = Callable[[Image.Image], Image.Image]


def reship(pixels: Pixels, *, seed: bytes) -> list[Pixels]:
    """Return the image as JPEG of quality 60, as WebP of quality 80, and, where it is larger, reduced to 512 px on its longest side.

    The same pixels and seed give the same views (the seed is that of the image's own crops).
    """
    shipped = [
        _compressed(pixels, partial(_through, kind="JPEG", quality=JPEG_QUALITY)),
        _compressed(pixels, partial(_through, kind="WEBP", quality=WEBP_QUALITY)),
    ]
    if not _is_whole(pixels):
        shipped.append(cut(from_array(pixels.thumb, kind=pixels.format), policy_of(pixels.preprocess_id), seed=seed))
    return shipped


def _is_whole(pixels: Pixels) -> bool:
    """Whether the thumb is the picture itself, not reduced."""
    return pixels.thumb.shape[:2] == (pixels.height, pixels.width)


def _compressed(pixels: Pixels, ship: Ship) -> Pixels:
    picture = ship(Image.fromarray(pixels.thumb))
    if _is_whole(pixels):
        left, top, right, bottom = pixels.boxes.T
        crops = crops_at(picture, zip(left.tolist(), top.tolist(), right.tolist(), bottom.tolist(), strict=True))
    else:
        crops = np.stack([_array(ship(Image.fromarray(crop))) for crop in pixels.crops])
    return replace(pixels, crops=crops, view=view_of(picture))


def _through(image: Image.Image, *, kind: str, quality: int) -> Image.Image:
    target = io.BytesIO()
    image.save(target, kind, quality=quality)
    with Image.open(target, formats=[kind]) as shipped:
        return shipped.convert("RGB")


def _array(image: Image.Image) -> Bytes:
    return np.asarray(image)
