"""The picture a person sees: the heat of each crop, drawn where the crop was cut."""

import io
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.classifier import Heat
from model.pixels import Bytes, Pixels

OverlayFormat = Literal["webp", "jpeg"]
CONTENT_TYPES: Final[dict[OverlayFormat, str]] = {"webp": "image/webp", "jpeg": "image/jpeg"}

_STRENGTH: Final = 0.65  # of the colour where heat is 1; the picture must stay readable under it
_FRAME: Final = (
    0.5  # of white in the one-pixel frame around each crop: where the branch looked must be seen without heat too
)
_QUALITY: Final = 82

# Heat to colour through five stops, dark blue to yellow: rises steadily in lightness, so it reads in grey and for the colour-blind.
_STOPS: Final = np.array(
    [[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]], dtype=np.float32
)


def render(pixels: Pixels, cams: Heat, *, format: OverlayFormat = "webp") -> bytes:  # noqa: A002 -- as Pillow calls it
    """Return the thumb with the heat [k, 7, 7] of its crops over it, as a fresh file without any metadata of the original."""
    picture = Image.fromarray(paint(pixels, cams))
    target = io.BytesIO()
    if format == "webp":
        picture.save(target, "WEBP", quality=_QUALITY, method=2)
    else:
        picture.save(target, "JPEG", quality=_QUALITY)
    return target.getvalue()


def paint(pixels: Pixels, cams: Heat) -> Bytes:
    """Return the thumb with the heat [k, 7, 7] of its crops over it.

    Each crop has a thin frame. What no crop covered keeps its own colours: the model's CNN has not looked there. Where crops
    overlap, the hotter one shows.
    """
    size, shape = (pixels.width, pixels.height), pixels.thumb.shape[:2]
    heat = lay_out(pixels.boxes, cams, size, shape)
    mixed = tint(pixels.thumb, heat)
    for rows, columns in _frames(pixels.boxes, size, shape):
        mixed[rows, columns] = mixed[rows, columns] * (1 - _FRAME) + 255 * _FRAME
    return mixed.round().astype(np.uint8)


def tint(picture: Bytes, heat: Heat) -> npt.NDArray[np.float32]:
    """Return a picture [h, w, 3] with heat 0..1 [h, w] over it; where there is no heat it keeps its own colours."""
    share = heat[..., None] * _STRENGTH
    return picture * (1 - share) + _colour(heat) * share


def lay_out(
    boxes: npt.NDArray[np.int32], cams: Heat, size: tuple[int, int], shape: Sequence[int]
) -> npt.NDArray[np.float32]:
    """Return heat 0..1 for each pixel of a thumb of `shape` (rows, columns) of an upright image of `size` (width, height)."""
    rows, columns = shape[0], shape[1]
    heat = np.zeros((rows, columns), np.float32)
    across, down = columns / size[0], rows / size[1]
    for box, cam in zip(boxes, cams, strict=True):
        spot = _on_thumb(box, across, down)
        grown = _grow(cam, max(1, spot[2] - spot[0]), max(1, spot[3] - spot[1]))
        # A padded crop reaches over the picture's edge: only what lies inside is drawn.
        x0, y0 = max(spot[0], 0), max(spot[1], 0)
        inside = grown[y0 - spot[1] : rows - spot[1], x0 - spot[0] : columns - spot[0]]
        window = heat[y0 : y0 + inside.shape[0], x0 : x0 + inside.shape[1]]
        np.maximum(window, inside, out=window)
    return heat


def _on_thumb(box: npt.NDArray[np.int32], across: float, down: float) -> tuple[int, int, int, int]:
    left, top, right, bottom = (int(edge) for edge in box)
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


def _frames(
    boxes: npt.NDArray[np.int32], size: tuple[int, int], shape: Sequence[int]
) -> Iterator[tuple[slice | int, slice | int]]:
    """Yield the pixels of each crop's frame as rows and columns of the thumb; sides on or over the picture's edge have none."""
    rows, columns = shape[0], shape[1]
    for box in boxes:
        left, top, right, bottom = _on_thumb(box, columns / size[0], rows / size[1])
        across, down = slice(max(left, 0), min(right, columns)), slice(max(top, 0), min(bottom, rows))
        yield from ((row, across) for row in (top, bottom - 1) if 0 < row < rows - 1)
        yield from ((down, column) for column in (left, right - 1) if 0 < column < columns - 1)


def _grow(cam: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float32]:
    grown = Image.fromarray(np.asarray(cam, np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(grown, dtype=np.float32).clip(0, 1)


def _colour(heat: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Heat [h, w] to RGB [h, w, 3] by way of a table of 256 colours."""
    places = np.linspace(0, 1, len(_STOPS))
    steps = np.linspace(0, 1, 256)
    table = np.stack([np.interp(steps, places, _STOPS[:, channel]) for channel in range(3)], axis=-1).astype(np.float32)
    return table[(heat * 255).round().astype(np.uint8)]
