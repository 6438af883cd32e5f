"""The fence against files that are small, of an allowed format, and slow: their parts are counted before a decoder walks over them.

Pillow reads headers in Python, unpacks each profile it meets, and joins EXIF in pieces; libjpeg goes over the whole picture once a scan.
So a file of a few hundred kilobytes could take a decoder half a minute (measured: 1,000 scans over 36 megapixels 23 s).
"""

from typing import Final

from model.gif_blocks import EXTENSION, IMAGE, TRAILER, table_bytes
from model.jpeg_segments import FRAMES, SCAN, scans, segments
from model.limits import DecodeLimits
from model.sniff import Format
from schemas.errors import ImageMetadataTooLarge, ImageTooComplex, ImageTruncated

_GAP_BYTES: Final = 4096  # fill and junk between the parts of a file; encoders write next to none
_PIXEL_PARTS: Final = 100_000  # a PNG of 32 MiB has 4,096 in the pieces that libpng writes
_GIF_PIECES: Final = 10_000  # of 255 bytes at most: 2.5 MB of comments and XMP
_PNG_PART_BYTES: Final = 12  # length, type and checksum
_PNG_PIXELS: Final = frozenset({b"IDAT", b"fdAT", b"fcTL"})
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6})
_SEQUENTIAL: Final = frozenset({0xC0, 0xC1})


def check_structure(data: bytes, kind: Format, size: tuple[int, int] | None, limits: DecodeLimits) -> None:
    """Raise `ImageMetadataTooLarge`, `ImageTooComplex` or `ImageTruncated` for a file whose parts no encoder makes. WebP and AVIF are walked in C."""
    if kind == "PNG":
        _check_png(data, limits)
    elif kind == "JPEG":
        _check_jpeg(data, size, limits)
    elif kind == "GIF":
        _check_gif(data)


def _check_png(data: bytes, limits: DecodeLimits) -> None:
    at, metadata, pixels = 8, 0, 0
    while (name := data[at + 4 : at + 8]) and name != b"IEND":
        if name in _PNG_PIXELS:
            pixels += 1
        else:
            metadata += 1
        if metadata > limits.max_metadata_parts:
            raise _too_much_metadata("PNG", f"more than {limits.max_metadata_parts} chunks beside its pixels")
        if pixels > _PIXEL_PARTS:
            raise _too_complex("PNG", f"its pixels come in more than {_PIXEL_PARTS} pieces")
        at += _PNG_PART_BYTES + int.from_bytes(data[at : at + 4], "big")


def _check_jpeg(data: bytes, size: tuple[int, int] | None, limits: DecodeLimits) -> None:
    found = gaps = frame = 0
    for segment in segments(data):
        found, gaps = found + 1, gaps + segment.gap
        if found > limits.max_metadata_parts:
            raise _too_much_metadata("JPEG", f"more than {limits.max_metadata_parts} segments before its pixels")
        if gaps > _GAP_BYTES:
            raise _too_complex("JPEG", f"more than {_GAP_BYTES} bytes of fill between its segments")
        if segment.marker in FRAMES:
            frame = segment.marker
        if segment.marker == SCAN and size:
            _check_scans(len(data) - segment.at, scans(data, segment.at), frame, size[0] * size[1], limits)


def _check_scans(coded_bytes: int, count: int, frame: int, pixels: int, limits: DecodeLimits) -> None:
    if count * pixels > limits.max_scan_pixels:
        raise _too_complex("JPEG", f"its scans go over more than {limits.max_scan_pixels} pixels in all")
    # Each block of 64 pixels takes a bit in a progressive file, and two in a sequential one (its mean, and that no more follows). libjpeg
    # fills with grey what is not there, and only warns.
    least_bits = pixels // 64 * ((frame in _PROGRESSIVE) + 2 * (frame in _SEQUENTIAL))
    if coded_bytes * 8 < least_bits:
        raise ImageTruncated(
            "the JPEG ends before its pixels do", why="it has too few bytes for its size", remedy="Upload it again."
        )


def _check_gif(data: bytes) -> None:
    """Count what lies before the first frame; Pillow skips what it does not know byte by byte."""
    at, pieces = 13 + table_bytes(data[10:11]), 0
    while at < len(data) and data[at] not in {IMAGE, TRAILER}:
        if data[at] == EXTENSION:
            at += 2
            while at < len(data) and data[at] and pieces <= _GIF_PIECES:
                at, pieces = at + data[at] + 1, pieces + 1
        at, pieces = at + 1, pieces + 1
        if pieces > _GIF_PIECES:
            raise _too_much_metadata("GIF", f"more than {_GIF_PIECES} pieces before its first frame")


def _too_much_metadata(kind: Format, why: str) -> ImageMetadataTooLarge:
    return ImageMetadataTooLarge(f"the {kind}'s metadata is too large", why=why, remedy="Strip the metadata.")


def _too_complex(kind: Format, why: str) -> ImageTooComplex:
    return ImageTooComplex(
        f"the {kind} is made to be slow", why=why, remedy="Save it anew with a common program and upload it again."
    )
