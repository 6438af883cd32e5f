"""Why a decoder refused a file, read from the file's own structure: Pillow's errors say it only in their text."""

import zlib
from collections.abc import Iterator

from PIL import PngImagePlugin

from model.frames import gif_frames
from model.sniff import Format
from schemas.errors import ImageCorrupt, ImageMetadataTooLarge, ImageRejected, ImageTruncated

_PNG_CHUNK_BYTES = 12  # length, type and checksum around the body
_COMPRESSED_TEXT = {b"zTXt", b"iTXt", b"iCCP"}


def why_refused(data: bytes, kind: Format, error: Exception) -> ImageRejected:
    """Return the rejection for a file that the decoder gave up on."""
    if kind == "PNG" and _metadata_too_large(data):
        return ImageMetadataTooLarge(
            "the PNG's metadata is too large",
            why=f"a text or profile unpacks to more than {PngImagePlugin.MAX_TEXT_CHUNK} bytes, "
            f"or all texts to more than {PngImagePlugin.MAX_TEXT_MEMORY}",
            remedy="Strip the metadata.",
        )
    if _ends_early(data, kind):
        return ImageTruncated(
            f"the {kind} ends before its pixels do", why=type(error).__name__, remedy="Upload it again."
        )
    return ImageCorrupt(
        f"the {kind} cannot be decoded", why=type(error).__name__, remedy="Save it anew and upload it again."
    )


def _ends_early(data: bytes, kind: Format) -> bool:
    if kind == "PNG":
        return not any(name == b"IEND" for name, _ in _png_chunks(data))
    if kind == "JPEG":  # the last scan must be followed by an end marker; a thumbnail in EXIF has both before it
        return data.rfind(b"\xff\xd9") <= data.rfind(b"\xff\xda")
    if kind == "GIF":
        return not gif_frames(data, len(data))[1]
    if kind == "WEBP":
        return 8 + int.from_bytes(data[4:8], "little") > len(data)
    return _boxes_end_early(data)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and body of every chunk that is wholly there."""
    at = 8
    while (end := at + _PNG_CHUNK_BYTES + int.from_bytes(data[at : at + 4], "big")) <= len(data):
        yield data[at + 4 : at + 8], data[at + 8 : end - 4]
        at = end


def _metadata_too_large(data: bytes) -> bool:
    total = 0
    for name, body in _png_chunks(data):
        if name in _COMPRESSED_TEXT:
            size = _unpacked_bytes(name, body, PngImagePlugin.MAX_TEXT_CHUNK)
            total += size
            if size > PngImagePlugin.MAX_TEXT_CHUNK or total > PngImagePlugin.MAX_TEXT_MEMORY:
                return True
    return False


def _unpacked_bytes(name: bytes, body: bytes, cap: int) -> int:
    """Unpack at most `cap + 1` bytes of a text or profile chunk; 0 where it is not compressed or broken."""
    _, _, rest = body.partition(b"\0")
    if name == b"iTXt":
        if rest[:1] != b"\x01":
            return 0
        _, _, rest = rest[2:].partition(b"\0")
        _, _, packed = rest.partition(b"\0")
    else:
        packed = rest[1:]
    try:
        return len(zlib.decompressobj().decompress(packed, cap + 1))
    except zlib.error:
        return 0


def _boxes_end_early(data: bytes) -> bool:
    """Whether a box of an ISO base media file reaches over the end of the file."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:  # to the end of the file
            return False
        at += max(size, 8)
    return at != len(data)
