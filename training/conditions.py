"""What may have happened to an image before it reaches us, by name: the conditions that calibration and evaluation measure under.

`clean` is the file as it lies there. `laundered` draws from the distribution of `training.corpus.laundering`, the same for all classes. The
others do one thing: `jpeg_q75`, `webp_q80`, `resize_x0.5`, `screenshot`, `double_jpeg`.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

from model.decode import decode
from model.limits import DEFAULT_LIMITS
from schemas.errors import ConfigError
from training.corpus.files import Rgb, jpeg, png, webp
from training.corpus.laundering import decoded, launder, screenshot
from training.params import EvaluateParams

CLEAN: Final = "clean"
LAUNDERED: Final = "laundered"
SCREENSHOT: Final = "screenshot"
DOUBLE_JPEG: Final = "double_jpeg"
JPEG: Final = "jpeg_q"
WEBP: Final = "webp_q"
RESIZE: Final = "resize_x"
_FIRST_QUALITY: Final = (70, 97)  # of the first of two compressions
_SECOND_QUALITY: Final = 80


def conditions_of(params: EvaluateParams) -> tuple[str, ...]:
    """Return the conditions of a report card in the order it shows them."""
    return (
        CLEAN,
        LAUNDERED,
        *(f"{JPEG}{quality}" for quality in params.jpeg_qualities),
        *(f"{WEBP}{quality}" for quality in params.webp_qualities),
        *(f"{RESIZE}{factor:g}" for factor in params.resize_factors),
        SCREENSHOT,
        DOUBLE_JPEG,
    )


def under(data: bytes, condition: str, rng: np.random.Generator) -> bytes:
    """Return the file as it arrives under a condition; give all classes of a group the same `rng`.

    Raises `ConfigError` for a condition that is none, a rejection for bytes that are no image. Everything but `clean` is decoded as
    serving decodes it: upright, sRGB, without metadata.
    """
    change = _change(condition)
    return data if change is None else change(np.asarray(decode(data, DEFAULT_LIMITS).rgb), rng)


def require_condition(condition: str) -> str:
    """Return the name, or raise `ConfigError` where it names no condition."""
    _change(condition)
    return condition


def _change(condition: str) -> Callable[[Rgb, np.random.Generator], bytes] | None:
    fixed: dict[str, Callable[[Rgb, np.random.Generator], bytes] | None] = {
        CLEAN: None,
        LAUNDERED: launder,
        SCREENSHOT: lambda pixels, rng: png(screenshot(pixels, rng)),
        DOUBLE_JPEG: lambda pixels, rng: jpeg(
            decoded(jpeg(pixels, int(rng.integers(*_FIRST_QUALITY)))), _SECOND_QUALITY
        ),
    }
    if condition in fixed:
        return fixed[condition]
    try:
        if condition.startswith(JPEG):
            quality = _quality(condition.removeprefix(JPEG))
            return lambda pixels, _: jpeg(pixels, quality)
        if condition.startswith(WEBP):
            quality = _quality(condition.removeprefix(WEBP))
            return lambda pixels, _: webp(pixels, quality)
        if condition.startswith(RESIZE):
            factor = float(condition.removeprefix(RESIZE))
            if 0 < factor <= 4:  # noqa: PLR2004 - larger ones only invent pixels
                return lambda pixels, _: png(_resized(pixels, factor))
    except ValueError:
        pass
    raise ConfigError(
        f"unknown condition {condition!r}",
        why=f"known are {', '.join(fixed)}, {JPEG}75, {WEBP}80, {RESIZE}0.5 and the like",
        remedy="Correct it in params.yaml or on the command line.",
    )


def _quality(text: str) -> int:
    quality = int(text)
    if not 1 <= quality <= 100:  # noqa: PLR2004 - as the encoders count
        raise ValueError(text)
    return quality


def _resized(pixels: Rgb, factor: float) -> Rgb:
    """Resample as most platforms do: bicubic, antialiased."""
    height, width = pixels.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
