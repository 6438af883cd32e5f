"""Pixels to file bytes: tables of imagined cameras, the file history all classes share, and files as a platform finds them."""

import io
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.corpus.population import HOME, Population
from training.corpus.seeds import chance

Rgb: TypeAlias = NDArray[np.uint8]  # [h, w, 3]

# ITU-T T.81 Annex K, in the order Pillow wants (row by row).
_LUMA = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
]  # fmt: skip
_CHROMA = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
]  # fmt: skip
_SUBSAMPLING = ("4:4:4", "4:2:0")


def jpeg(pixels: Rgb, quality: int, *, subsampling: str = "4:2:0") -> bytes:
    """A baseline JPEG with the library's own tables."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling=subsampling)
    return out.getvalue()


def webp(pixels: Rgb, quality: int) -> bytes:
    """A lossy WebP."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", quality=quality, method=2)
    return out.getvalue()


def png(pixels: Rgb) -> bytes:
    """A lossless file, little compressed: it is read soon."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def camera_jpeg(pixels: Rgb, rng: np.random.Generator, population: Population = HOME) -> bytes:
    """A JPEG with one imagined maker's tables: the standard shape bent by a power, quality about 85 to 97."""
    maker = population.makers[int(rng.integers(len(population.makers)))]
    scale = 2 * (100 - float(rng.uniform(85, 97))) / 100
    bend = 0.75 + 0.05 * maker

    def table(base: list[int]) -> list[int]:
        return [int(max(1, min(255, round(scale * 40 * (value / 40) ** bend)))) for value in base]

    out = io.BytesIO()
    sampling = _SUBSAMPLING[int(chance(rng, 0.6))]
    Image.fromarray(pixels).save(out, "JPEG", qtables=[table(_LUMA), table(_CHROMA)], subsampling=sampling)
    return out.getvalue()


def shared_history(pixels: Rgb, rng: np.random.Generator, population: Population = HOME) -> bytes:
    """One file of the canonical corpus. Give all classes of a scene the same stream: then no file property tells the class.

    A decoder's output carries the JPEG history of its source too, or the fakes would be the class with cleaner high frequencies.
    """
    return camera_jpeg(pixels, rng, population) if chance(rng, 0.5) else png(pixels)


def as_found(pixels: Rgb, label: str, rng: np.random.Generator) -> bytes:
    """One file as platforms receive it: cameras write JPEG at sizes of their own, generators PNG or WebP at multiples of 64.

    These are the shortcuts that the audit must find before canonicalisation. Nothing is trained on such files.
    """
    height, width = pixels.shape[:2]
    unit = 36 if label == "real" else 64
    cut = np.ascontiguousarray(pixels[: height // unit * unit, : width // unit * unit])
    if label == "real":
        return camera_jpeg(cut, rng)
    if label == "dalle3" and chance(rng, 0.7):
        return webp(cut, 90)
    if label == "flux" and chance(rng, 0.3):
        return jpeg(cut, 95)
    return png(cut)
