"""What happens to an image between its maker and us. One distribution for all classes."""

import io
from typing import Final

import numpy as np
from PIL import Image

from training.corpus.files import Rgb, jpeg, webp
from training.corpus.seeds import chance
from training.params import AugmentParams

DEFAULT: Final = AugmentParams()
_KERNELS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def _resize(pixels: Rgb, factor: float, kernel: Image.Resampling) -> Rgb:
    h, w = pixels.shape[:2]
    size = (max(1, round(w * factor)), max(1, round(h * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, kernel))


def screenshot(pixels: Rgb, rng: np.random.Generator) -> Rgb:
    """Another display's gamma, and a resample to its pixel grid."""
    gamma = float(rng.uniform(0.9, 1.1))
    shown = (255 * (pixels / np.float32(255)) ** np.float32(gamma) + 0.5).astype(np.uint8)
    return _resize(shown, float(rng.uniform(0.85, 1.15)), Image.Resampling.BILINEAR)


def launder(pixels: Rgb, rng: np.random.Generator, shares: AugmentParams = DEFAULT) -> bytes:
    """Return the re-uploaded file: perhaps resized, perhaps a screenshot, perhaps compressed twice; JPEG or WebP in the end.

    `shares` says how often each happens, all of them independently; whether an image is laundered at all (`launder_share`) is the caller's.
    """
    if chance(rng, shares.resize_share):
        h, w = pixels.shape[:2]
        kernel = _KERNELS[int(rng.integers(len(_KERNELS)))]
        pixels = _resize(pixels, float(rng.uniform(0.6, 1)), kernel)
        if chance(rng, 0.5):
            pixels = np.asarray(Image.fromarray(pixels).resize((w, h), kernel))
    if chance(rng, shares.screenshot_share):
        pixels = screenshot(pixels, rng)
    if chance(rng, shares.double_jpeg_share):
        pixels = decoded(jpeg(pixels, int(rng.integers(70, 97))))
    if chance(rng, shares.webp_share):
        return webp(pixels, int(rng.integers(60, 97)))
    lowest, highest = shares.jpeg_quality
    return jpeg(pixels, int(rng.integers(lowest, highest + 1)), subsampling="4:2:0" if chance(rng, 0.6) else "4:4:4")


def decoded(data: bytes) -> Rgb:
    """Pixels [h, w, 3] of a file that we wrote ourselves; not for bytes from outside."""
    with Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "WEBP"]) as image:
        return np.asarray(image.convert("RGB"))
