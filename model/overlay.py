"""The picture a person sees: the heat of each crop, drawn where the crop was cut."""

import io
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.classifier import Heat
from model.pixels import Pixels

OverlayFormat = Literal["webp", "jpeg"]
CONTENT_TYPES: Final[dict[OverlayFormat, str]] = {"webp": "image/webp", "jpeg": "image/jpeg"}

_STRENGTH: Final = 0.65  # of the colour where heat is 1; the picture must stay readable under it
_QUALITY: Final = 82

# Heat to colour through five stops, dark blue to yellow: rises steadily in lightness, so it reads in grey and for the colour-blind.
_STOPS: Final = np.array(
    [[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]], dtype=np.float32
)


def render(pixels: Pixels, cams: Heat, *, format: OverlayFormat = "webp") -> bytes:  # noqa: A002 -- as Pillow calls it
    """Return the thumb with the heat [k, 7, 7] of its crops over it, as a fresh file without any metadata of the original.

    What no crop covered keeps its own colours: the model's CNN has not looked there. Where crops overlap, the hotter one shows.
    """
    heat = lay_out(pixels.boxes, cams, (pixels.width, pixels.height), pixels.thumb.shape[:2])
    share = heat[..., None] * _STRENGTH  # no heat, no tint
    mixed = pixels.thumb * (1 - share) + _colour(heat) * share
    picture = Image.fromarray(mixed.round().astype(np.uint8))
    target = io.BytesIO()
    if format == "webp":
        picture.save(target, "WEBP", quality=_QUALITY, method=2)
    else:
        picture.save(target, "JPEG", quality=_QUALITY)
    return target.getvalue()


def lay_out(
    boxes: npt.NDArray[np.int32], cams: Heat, size: tuple[int, int], shape: Sequence[int]
) -> npt.NDArray[np.float32]:
    """Return heat 0..1 for each pixel of a thumb of `shape` (rows, columns) of an upright image of `size` (width, height)."""
    rows, columns = shape[0], shape[1]
    heat = np.zeros((rows, columns), np.float32)
    across, down = columns / size[0], rows / size[1]
    for box, cam in zip(boxes, cams, strict=True):
        left, top, right, bottom = box
        spot = (round(left * across), round(top * down), round(right * across), round(bottom * down))
        grown = _grow(cam, max(1, spot[2] - spot[0]), max(1, spot[3] - spot[1]))
        # A padded crop reaches over the picture's edge: only what lies inside is drawn.
        x0, y0 = max(spot[0], 0), max(spot[1], 0)
        inside = grown[y0 - spot[1] : rows - spot[1], x0 - spot[0] : columns - spot[0]]
        window = heat[y0 : y0 + inside.shape[0], x0 : x0 + inside.shape[1]]
        np.maximum(window, inside, out=window)
    return heat


def _grow(cam: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float32]:
    grown = Image.fromarray(np.asarray(cam, np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(grown, dtype=np.float32).clip(0, 1)


def _colour(heat: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Heat [h, w] to RGB [h, w, 3] by way of a table of 256 colours."""
    places = np.linspace(0, 1, len(_STOPS))
    steps = np.linspace(0, 1, 256)
    table = np.stack([np.interp(steps, places, _STOPS[:, channel]) for channel in range(3)], axis=-1).astype(np.float32)
    return table[(heat * 255).round().astype(np.uint8)]
