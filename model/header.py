"""What a file declares in its header, read without a decoder: the first fence against bombs."""

from itertools import islice
from typing import Final, Literal

from model.jpeg_segments import FRAMES, segments
from model.sniff import Format

_Order = Literal["big", "little"]
_MOST_SEGMENTS: Final = 10_000  # a file of 32 MiB may hold millions; model/structure.py refuses it, but not here


def declared_size(data: bytes, kind: Format) -> tuple[int, int] | None:
    """Return width and height from the header, or None where it does not reach so far (or for AVIF, whose parser allocates nothing).

    Asked before Pillow, since its WebP plugin allocates two canvases of the declared size when it opens a file.
    """
    if kind == "PNG":
        return _sized(data[16:20], data[20:24], "big")
    if kind == "GIF":
        return _sized(data[6:8], data[8:10], "little")
    if kind == "WEBP":
        return _webp(data)
    if kind == "JPEG":
        return _jpeg(data)
    return None


def _sized(width: bytes, height: bytes, order: _Order) -> tuple[int, int] | None:
    return (int.from_bytes(width, order), int.from_bytes(height, order)) if height else None


def _webp(data: bytes) -> tuple[int, int] | None:
    chunk, body = data[12:16], data[20:30]
    if len(body) < 10:  # noqa: PLR2004 -- what the longest of the three layouts needs
        return None
    if chunk == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    for segment in islice(segments(data), _MOST_SEGMENTS):
        if segment.marker in FRAMES:
            return _sized(data[segment.at + 3 : segment.at + 5], data[segment.at + 1 : segment.at + 3], "big")
    return None
