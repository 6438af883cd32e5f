"""One figure of why: the picture and each branch's map side by side, with what each branch says by itself and how far it is to be trusted.

Drawn with Pillow and the font it ships with. Text is dark on white, heat rises in lightness (`model.overlay`), and what must be
told apart is told apart by words or shape too, so it reads in grey and for the colour-blind.
"""

import io
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from model.pixels import Bytes

FigureFormat = Literal["png", "webp"]
WIDTH_PX: Final = 1200
COLUMNS: Final = 3

_MARGIN: Final = 24
_PANEL_WIDTH: Final = (WIDTH_PX - (COLUMNS + 1) * _MARGIN) // COLUMNS  # 368
_PICTURE_HEIGHT: Final = 320
_LINE: Final = 21  # pixels from one line of small text to the next
_LINES: Final = 3  # below each picture
_TITLE_HEIGHT: Final = 30
_PANEL_HEIGHT: Final = _TITLE_HEIGHT + _PICTURE_HEIGHT + 8 + _LINES * _LINE

_PAPER: Final = (255, 255, 255)
_INK: Final = (28, 28, 30)
_FAINT: Final = (92, 92, 98)
_BED: Final = (242, 242, 244)  # around a picture that does not fill its place
_WARNING: Final = (255, 236, 200)
_BAR: Final = (86, 40, 160)
_REST: Final = (226, 226, 230)


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture with a title above and at most three short lines below; `note` is written across a picture that stands for another."""

    title: str
    picture: Bytes  # [h, w, 3]
    lines: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """Shares 0..1 by name, as bars."""

    title: str
    shares: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Header:
    """The verdict in one line, small print under it, and a warning that nobody may overlook."""

    headline: str
    small_print: tuple[str, ...]
    warning: str = ""


Box = tuple[int, int, int, int]


def figure(header: Header, panels: Sequence[Panel | Bars]) -> Image.Image:
    """Return the figure, 1200 px wide and as high as its panels need, three in a row."""
    boxes = list(places(header, len(panels)))
    image = Image.new("RGB", (WIDTH_PX, boxes[-1][3] + _MARGIN if boxes else _header_height(header)), _PAPER)
    draw = ImageDraw.Draw(image)
    _write_header(draw, header)
    for box, panel in zip(boxes, panels, strict=True):
        if isinstance(panel, Panel):
            _place_panel(image, draw, panel, box)
        else:
            _draw_bars(draw, panel, box)
    return image


def encode(image: Image.Image, kind: FigureFormat) -> bytes:
    """Return the figure as a file, with nothing in it but pixels."""
    target = io.BytesIO()
    if kind == "webp":
        image.save(target, "WEBP", lossless=True, method=2)
    else:
        image.save(target, "PNG", optimize=True)
    return target.getvalue()


def places(header: Header, panels: int) -> Iterator[Box]:
    """Yield the box (left, top, right, bottom) of each panel, row by row under the header."""
    top = _header_height(header)
    for number in range(panels):
        row, column = divmod(number, COLUMNS)
        left, upper = _MARGIN + column * (_PANEL_WIDTH + _MARGIN), top + row * (_PANEL_HEIGHT + _MARGIN)
        yield left, upper, left + _PANEL_WIDTH, upper + _PANEL_HEIGHT


def _header_height(header: Header) -> int:
    return 72 + _LINE * len(header.small_print) + (44 if header.warning else 0)


def _write_header(draw: ImageDraw.ImageDraw, header: Header) -> None:
    draw.text((_MARGIN, 18), _fitted(header.headline, 28, WIDTH_PX - 2 * _MARGIN), _INK, font=_font(28))
    y = 60
    for line in header.small_print:
        draw.text((_MARGIN, y), _fitted(line, 15, WIDTH_PX - 2 * _MARGIN), _FAINT, font=_font(15))
        y += _LINE
    if header.warning:
        draw.rectangle([_MARGIN, y + 6, WIDTH_PX - _MARGIN, y + 38], fill=_WARNING)
        draw.text(
            (_MARGIN + 12, y + 13), _fitted(header.warning, 16, WIDTH_PX - 2 * _MARGIN - 24), _INK, font=_font(16)
        )


def _place_panel(image: Image.Image, draw: ImageDraw.ImageDraw, panel: Panel, box: Box) -> None:
    left, top, right, _ = box
    draw.text((left, top), _fitted(panel.title, 18, _PANEL_WIDTH), _INK, font=_font(18))
    bed = (left, top + _TITLE_HEIGHT, right, top + _TITLE_HEIGHT + _PICTURE_HEIGHT)
    draw.rectangle([bed[0], bed[1], bed[2] - 1, bed[3] - 1], fill=_BED)
    shown = _fit(panel.picture if not panel.note else _faded(panel.picture))
    image.paste(shown, (left + (_PANEL_WIDTH - shown.width) // 2, bed[1] + (_PICTURE_HEIGHT - shown.height) // 2))
    if panel.note:
        _write_across(draw, panel.note, bed)
    y = bed[3] + 8
    for line in panel.lines[:_LINES]:
        draw.text((left, y), _fitted(line, 15, _PANEL_WIDTH), _INK, font=_font(15))
        y += _LINE


def _write_across(draw: ImageDraw.ImageDraw, note: str, bed: Box) -> None:
    middle_x, middle_y = (bed[0] + bed[2]) // 2, (bed[1] + bed[3]) // 2
    draw.rectangle([bed[0], middle_y - 18, bed[2] - 1, middle_y + 18], fill=_PAPER)
    draw.text((middle_x, middle_y), _fitted(note, 16, _PANEL_WIDTH - 16), _INK, font=_font(16), anchor="mm")


def _draw_bars(draw: ImageDraw.ImageDraw, bars: Bars, box: Box) -> None:
    """Draw a bar for each name, with its share in figures; what does not fit is counted."""
    left, top, right, bottom = box
    draw.text((left, top), _fitted(bars.title, 18, _PANEL_WIDTH), _INK, font=_font(18))
    y, step = top + _TITLE_HEIGHT, 46
    room = (bottom - y) // step - 1
    for name, share in bars.shares[:room]:
        draw.text((left, y), _fitted(name, 15, _PANEL_WIDTH - 80), _INK, font=_font(15))
        draw.text((right, y), f"{share:.1%}", _INK, font=_font(15), anchor="ra")
        draw.rectangle([left, y + 20, right, y + 30], fill=_REST)
        if share > 0:
            draw.rectangle([left, y + 20, left + round(share * _PANEL_WIDTH), y + 30], fill=_BAR)
        y += step
    if len(bars.shares) > room:
        draw.text((left, y), f"and {len(bars.shares) - room} more", _FAINT, font=_font(15))


def _fit(picture: Bytes) -> Image.Image:
    """Scale a picture into its place, without changing its shape; small ones grow, so that a map of few pixels is seen."""
    source = Image.fromarray(picture)
    scale = min(_PANEL_WIDTH / source.width, _PICTURE_HEIGHT / source.height)
    size = max(1, round(source.width * scale)), max(1, round(source.height * scale))
    return source.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BILINEAR)


def _faded(picture: Bytes) -> npt.NDArray[np.uint8]:
    return (picture * 0.35 + 255 * 0.65).round().astype(np.uint8)


def _fitted(text: str, size: int, width: int) -> str:
    """Return the text, cut with an ellipsis where it is wider than `width` pixels."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    kept = bisect_left(range(len(text)), True, key=lambda count: font.getlength(text[: count + 1] + "...") > width)
    return text[:kept].rstrip() + "..."


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
