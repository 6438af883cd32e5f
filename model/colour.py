"""Any mode that the allowed formats can have, to 8-bit sRGB on white."""

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_UNMOVED = 2  # levels of 255 by which a profile may move a colour and still count as sRGB
_OPAQUE = 255


def to_rgb(image: Image.Image, flags: set[str], *, max_icc_bytes: int) -> Image.Image:
    """Return the picture as RGB, and add to `flags` what had to be done to it."""
    profile = image.info.get("icc_profile")
    base, alpha = _parts(image, flags)
    rgb = _to_srgb(base, profile, flags, max_icc_bytes) if profile else _plain(base)
    if alpha is not None:
        flags.add("alpha_flattened")
        rgb = Image.composite(rgb, Image.new("RGB", rgb.size, (255, 255, 255)), alpha)
    return rgb


def _parts(image: Image.Image, flags: set[str]) -> tuple[Image.Image, Image.Image | None]:
    """Split into colour (L, RGB or CMYK) and alpha, which is None where every pixel is opaque."""
    if image.mode.startswith("I"):
        flags.add("sixteen_bit")
        wide = np.asarray(image)
        if wide.dtype != np.uint16:  # a whole copy more, of 40 megapixels it may be
            wide = wide.astype(np.int64).clip(0, 0xFFFF)
        return Image.fromarray((wide >> 8).astype(np.uint8)), None
    if image.mode == "CMYK":
        flags.add("cmyk")
        return image, None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        return image.convert("RGB"), None if alpha.getextrema()[0] == _OPAQUE else alpha
    return (image if image.mode in {"L", "RGB"} else image.convert("RGB")), None


def _to_srgb(base: Image.Image, profile: bytes, flags: set[str], max_icc_bytes: int) -> Image.Image:
    """Convert by the profile; one that is too large, broken or for other channels is ignored, and flagged."""
    if len(profile) >= max_icc_bytes:
        flags.add("icc_ignored")
        return _plain(base)
    try:
        # Untyped by Pillow: an OSError comes from bytes that are no profile, PyCMSError from all that follows.
        transform: Any = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            _srgb(),
            base.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
        if base.mode != "CMYK" and _moves_nothing(transform, base.mode):
            return _plain(base)
        converted = ImageCms.applyTransform(base, transform)
    except (OSError, ImageCms.PyCMSError):
        flags.add("icc_ignored")
        return _plain(base)
    if converted is None:
        raise RuntimeError("LittleCMS returned no picture")
    flags.add("icc_converted")
    return converted


def _plain(base: Image.Image) -> Image.Image:
    """RGB without a profile; convert() would copy what is RGB already."""
    return base if base.mode == "RGB" else base.convert("RGB")


def _moves_nothing(transform: Any, mode: str) -> bool:
    probe = _probe(mode)
    moved = ImageCms.applyTransform(probe, transform)
    difference = np.asarray(moved).astype(int) - np.asarray(probe.convert("RGB"))
    return bool(np.abs(difference).max() <= _UNMOVED)


@cache
def _probe(mode: str) -> Image.Image:
    """Every grey, or a 9 x 9 x 9 grid of colours."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    return Image.fromarray(grid)


@cache
def _srgb() -> Any:
    return ImageCms.createProfile("sRGB")
