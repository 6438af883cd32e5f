"""Images that attack: bombs, lies, forgeries and files that are slow on purpose, all made here. No file of anyone else's.

`hostile_images` serves the decoder's tests and the fault harness alike. Every case must come to a verdict or to a dead letter with one of its
codes, within the limits, and without costing another image anything.
"""

import io
import struct
import zlib
from functools import cache
from typing import Final

import numpy as np
from PIL import Image, ImageCms

VERDICT: Final = "verdict"
"""Stands among the expected codes where the file is a picture after all."""

MIB: Final = 1 << 20
PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_SIDE: Final = 64


def chunk(name: bytes, body: bytes) -> bytes:
    """Return one chunk of a PNG, with its checksum."""
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")


def png(width: int, height: int, *extra: bytes, pixels: bytes | None = None, depth: int = 8, kind: int = 0) -> bytes:
    """Return a PNG that declares this size, has `extra` before its pixels, and holds `pixels` (default: as many as it needs, black)."""
    per_pixel = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind] * depth
    if pixels is None:
        pixels = bytes((width * per_pixel + 7) // 8 + 1) * height
    header = chunk(b"IHDR", struct.pack("!IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"".join((PNG_SIGNATURE, header, *extra, chunk(b"IDAT", zlib.compress(pixels, 1)), chunk(b"IEND", b"")))


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    """Encode with Pillow."""
    target = io.BytesIO()
    image.save(target, kind, **options)  # type: ignore[arg-type]
    return target.getvalue()


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP file of these chunks."""
    body = b"".join(name + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2) for name, data in chunks)
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body


def gif(*blocks: bytes, width: int = _SIDE, height: int = _SIDE) -> bytes:
    """Return a black and white GIF with these blocks between its header and its trailer."""
    return (
        b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + b"".join(blocks) + b";"
    )


def segment(marker: int, body: bytes) -> bytes:
    """Return one segment of a JPEG."""
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """Put segments behind the start marker."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def tiff(entries: bytes, count: int, *, next_at: int = 0) -> bytes:
    """Return a little-endian EXIF block of `count` raw entries."""
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + struct.pack("<I", next_at)


GIF_DOT: Final = b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
"""A frame of one pixel."""


def picture(side: int = _SIDE) -> Image.Image:
    """A small picture with something in it, always the same."""
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (side, side, 3), dtype=np.uint8))


@cache
def hostile_images() -> list[tuple[str, bytes, frozenset[str]]]:
    """Return name, bytes and the outcomes that are right: codes of `schemas.errors`, or `VERDICT`. A few seconds of work, once."""
    found = [*_sizes(), *_foreign(), *_pngs(), *_jpegs(), *_gifs(), *_webps(), *_avifs()]
    return [(name, data, frozenset(expected.split())) for name, data, expected in found]


_Case = tuple[str, bytes, str]


def _sizes() -> list[_Case]:
    return [
        ("nothing", b"", "object_empty"),
        ("one byte", b"\x89", "not_an_image"),
        ("32 MiB of nothing", bytes(32 * MIB), "not_an_image"),
        ("a byte over 32 MiB", bytes(32 * MIB + 1), "object_too_large"),
        ("only a JPEG's first bytes", b"\xff\xd8\xff", "image_truncated image_corrupt"),
        ("only a PNG's signature", PNG_SIGNATURE, "image_truncated"),
        ("only a WebP's header", b"RIFF\0\0\0\0WEBP", "image_truncated image_corrupt"),
        ("only a GIF's header", b"GIF89a", "image_truncated image_corrupt image_zero_size"),
        ("only an AVIF's brand", b"\0\0\0\x14ftypavif\0\0\0\0avif", "image_truncated image_corrupt"),
    ]


def _foreign() -> list[_Case]:
    remote = b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg"><image href="http://169.254.169.254/"/>&x;</svg>'
    return [
        ("SVG that asks for files", b'<?xml version="1.0"?>' + remote, "image_is_svg"),
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image_is_heic"),
        (
            "PostScript",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n(/etc/passwd) run",
            "image_format_unsupported",
        ),
        ("PDF", b"%PDF-1.7\n", "image_format_unsupported"),
        ("TIFF", save(picture(), "TIFF"), "image_format_unsupported"),
        ("BMP that lies about its size", b"BM" + b"\xff" * 60, "image_format_unsupported"),
        ("a page", b"<html><script>alert(1)</script></html>", "not_an_image"),
        ("a program", b"\x7fELF\x02\x01\x01" + bytes(200), "not_an_image"),
        ("a pickle", b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x02os\x94\x8c\x06system\x94\x93\x94.", "not_an_image"),
    ]


def _pngs() -> list[_Case]:
    small = png(_SIDE, _SIDE)
    wild_text = chunk(b"iTXt", b"n\0\x01\0\0\0" + zlib.compress(b"\xff" * 1_000_000))
    return [
        ("PNG bomb, 13000 x 13000", png(13_000, 13_000, depth=1), "image_too_many_pixels"),
        ("PNG that declares 2^31 x 2^31", png(0x7FFFFFFF, 0x7FFFFFFF, pixels=b""), "image_too_many_pixels"),
        ("PNG of width 2^32 - 1", png(0xFFFFFFFF, 1, pixels=b""), "image_too_many_pixels"),
        ("PNG without height", png(10, 0), "image_zero_size"),
        ("PNG of 40 megapixels", png(8000, 5000, depth=1), VERDICT),
        ("PNG of 40,000,000 x 1", png(40_000_000, 1, depth=1), VERDICT),
        ("PNG that promises pixels and has none", png(5000, 5000, pixels=b""), "image_truncated image_corrupt"),
        ("zTXt bomb", png(4, 4, chunk(b"zTXt", b"n\0\0" + _zeros(200 * MIB))), "image_metadata_too_large"),
        ("iTXt bomb", png(4, 4, chunk(b"iTXt", b"n\0\x01\0\0\0" + _zeros(200 * MIB))), "image_metadata_too_large"),
        ("iCCP bomb", png(4, 4, chunk(b"iCCP", b"n\0\0" + _zeros(200 * MIB))), "image_metadata_too_large"),
        (
            "80 texts of 1 MB",
            png(4, 4, *[chunk(b"zTXt", b"n\0\0" + _zeros(1_000_000))] * 80),
            "image_metadata_too_large",
        ),
        ("texts that escape the count", png(4, 4, *[wild_text] * 3000), "image_metadata_too_large"),
        (
            "profiles without end",
            png(4, 4, *[chunk(b"iCCP", b"n\0\0" + _zeros(1_000_000))] * 3000),
            "image_metadata_too_large",
        ),
        ("100,000 chunks", png(4, 4, *[chunk(b"prVt", b"")] * 100_000), "image_metadata_too_large"),
        ("200,000 empty pieces of pixels", png(4, 4, *[chunk(b"IDAT", b"")] * 200_000), "image_too_complex"),
        ("a text called bbox", png(4, 4, chunk(b"tEXt", b"bbox\x001,2")), f"{VERDICT} image_corrupt"),
        ("a text called icc_profile", png(4, 4, chunk(b"tEXt", b"icc_profile\0x")), f"{VERDICT} image_corrupt"),
        ("a text called transparency", png(4, 4, chunk(b"tEXt", b"transparency\0x")), f"{VERDICT} image_corrupt"),
        (
            "APNG that declares 2^31 frames",
            png(_SIDE, _SIDE, chunk(b"acTL", b"\x7f\xff\xff\xff\0\0\0\0")),
            "image_too_many_frames",
        ),
        ("APNG with a frame outside", _apng(8, 8, (0x7FFFFFFF, 1)), f"{VERDICT} image_corrupt"),
        ("palette without colours", png(_SIDE, _SIDE, kind=3), f"{VERDICT} image_corrupt"),
        ("wrong checksum", small[:29] + bytes(4) + small[33:], f"{VERDICT} image_corrupt"),
        (
            "a chunk of 4 GB",
            PNG_SIGNATURE + b"\xff\xff\xff\xffIHDR" + bytes(40),
            "image_truncated image_corrupt image_too_many_pixels image_zero_size",
        ),
        ("pixels that are no zlib", png(_SIDE, _SIDE).replace(b"IDATx", b"IDATy"), "image_corrupt"),
        ("16 bits, 4 channels, 6 megapixels", png(3000, 2000, depth=16, kind=6), VERDICT),
    ]


def _jpegs() -> list[_Case]:
    small = save(picture(), "JPEG")
    flat = save(Image.new("RGB", (5000, 5000), (9, 99, 200)), "JPEG", progressive=True)
    scan = flat[flat.rfind(b"\xff\xda") : -2]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    rising = b"".join(struct.pack("<HHII", tag, 1, 30_000, 8) for tag in range(1, 5000))
    frame_at = small.index(b"\xff\xc0")
    return [
        ("JPEG cut in half", small[: len(small) // 2], "image_truncated"),
        (
            "JPEG that declares 65500 x 65500",
            small[: frame_at + 5] + b"\xff\xdc\xff\xdc" + small[frame_at + 9 :],
            "image_too_many_pixels",
        ),
        (
            "JPEG that declares 6000 x 6000",
            small[: frame_at + 5] + b"\x17\x70\x17\x70" + small[frame_at + 9 :],
            "image_truncated image_corrupt",
        ),
        ("JPEG without width", small[: frame_at + 7] + b"\0\0" + small[frame_at + 9 :], "image_zero_size"),
        ("JPEG of 1000 scans", flat[:-2] + scan * 1000 + flat[-2:], "image_too_complex"),
        ("100,000 comments", with_segments(small, segment(0xFE, b"") * 100_000), "image_metadata_too_large"),
        (
            "EXIF in 20,000 pieces",
            with_segments(small, segment(0xE1, b"Exif\0\0" + bytes(90)) * 20_000),
            "image_metadata_too_large",
        ),
        ("4 MB of fill", small[:2] + b"\xff" * 4_000_000 + small[2:], "image_too_complex"),
        ("EXIF that points at itself", with_segments(small, segment(0xE1, tiff(b"", 0, next_at=8))), VERDICT),
        ("EXIF that holds gigabytes", with_segments(small, segment(0xE1, tiff(rising, 4999))), VERDICT),
        (
            "a profile of 16 MB",
            with_segments(
                small, *(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(65_500)) for n in range(1, 256))
            ),
            VERDICT,
        ),
        ("a broken profile", save(picture(), "JPEG", icc_profile=profile[:200] + b"\xff" * 4000), VERDICT),
        (
            "index of 2^32 pictures",
            with_segments(
                small,
                segment(0xE2, b"MPF\0" + struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0xB001, 4, 1, 0xFFFFFFFF, 0)),
            ),
            f"{VERDICT} image_corrupt",
        ),
        ("JPEG with an archive behind it", small + b"PK\x03\x04" + bytes(100) + b"PK\x05\x06" + bytes(18), VERDICT),
        ("JPEG of 12 bits", small[: frame_at + 4] + b"\x0c" + small[frame_at + 5 :], "image_corrupt"),
    ]


def _gifs() -> list[_Case]:
    return [
        ("GIF at the cap of 500 frames", gif(GIF_DOT * 500), VERDICT),
        ("GIF of 501 frames", gif(GIF_DOT * 501), "image_too_many_frames"),
        ("GIF of 500,000 frames", gif(GIF_DOT * 500_000), "image_too_many_frames"),
        ("GIF of 30 frames of 9 megapixels", gif(GIF_DOT * 30, width=3000, height=3000), "image_too_many_frames"),
        ("GIF that declares 65535 x 65535", gif(GIF_DOT, width=0xFFFF, height=0xFFFF), "image_too_many_pixels"),
        (
            "GIF with a frame outside",
            gif(b",\0\0\0\0\xff\xff\xff\xff\0\2\2\x44\1\0"),
            "image_too_many_pixels image_corrupt",
        ),
        ("a megabyte of junk", gif(b"x" * MIB, GIF_DOT), "image_metadata_too_large"),
        (
            "a comment in a million pieces",
            gif(b"!\xfe" + b"\1x" * 1_000_000 + b"\0", GIF_DOT),
            "image_metadata_too_large",
        ),
        ("500,000 extensions", gif(b"!\x01\0" * 500_000, GIF_DOT), "image_metadata_too_large"),
        (
            "pixels in a million pieces",
            gif(GIF_DOT[:11] + b"\1\x44" * 1_100_000 + b"\0"),
            f"{VERDICT} image_too_complex image_corrupt",
        ),
        (
            "a code that is not yet defined",
            gif(GIF_DOT[:11] + b"\2\xff\xff\0"),
            f"{VERDICT} image_corrupt image_truncated",
        ),
    ]


def _webps() -> list[_Case]:
    lossless, lossy = save(picture(), "WEBP", lossless=True), save(picture(), "WEBP")
    canvas = b"\x08\0\0\0" + (_SIDE - 1).to_bytes(3, "little") * 2
    extended = ((b"VP8X", canvas), (b"VP8L", lossless[20 : 20 + int.from_bytes(lossless[16:20], "little")]))
    animated = save(picture(), "WEBP", save_all=True, append_images=[picture().rotate(90)], lossless=True)
    rising = b"".join(struct.pack("<HHII", tag, 1, 400_000, 8) for tag in range(65_535))
    return [
        (
            "WebP that declares 16384 x 16384",
            riff((b"VP8X", b"\x08\0\0\0" + b"\xff\x3f\0" * 2), (b"VP8L", b"/" + bytes(20))),
            "image_too_many_pixels",
        ),
        ("WebP bomb of 36 megapixels", save(Image.new("RGB", (6000, 6000)), "WEBP", lossless=True, method=0), VERDICT),
        ("WebP cut", lossless[: len(lossless) // 2], "image_truncated"),
        ("lossy WebP cut", lossy[: len(lossy) // 2], "image_truncated"),
        (
            "WebP that ends after 2^32 bytes",
            lossless[:4] + b"\xff\xff\xff\xff" + lossless[8:],
            f"{VERDICT} image_truncated image_corrupt",
        ),
        (
            "lossless WebP of broken codes",
            lossless[:30] + b"\xff" * 200 + lossless[230:],
            "image_corrupt image_truncated",
        ),
        ("a million chunks", riff(*extended, *[(b"junk", b"")] * 1_000_000), f"{VERDICT} image_corrupt"),
        ("EXIF of 65,535 entries", riff(*extended, (b"EXIF", tiff(rising, 65_535) + bytes(400_000))), VERDICT),
        (
            "animation larger than its canvas",
            animated.replace((_SIDE - 1).to_bytes(3, "little"), b"\xff\x0f\0", 1),
            f"{VERDICT} image_corrupt",
        ),
    ]


def _avifs() -> list[_Case]:
    small = save(picture(), "AVIF", speed=10, max_threads=1)
    size_at = small.index(b"ispe") + 8
    wide = small[:size_at] + b"\0\0\xff\xff\0\0\xff\xff" + small[size_at + 8 :]
    return [
        ("AVIF cut", small[: len(small) // 2], "image_truncated image_corrupt"),
        ("AVIF that declares 65535 x 65535", wide, "image_too_many_pixels image_corrupt"),
        ("AVIF of other pixels", small[:-200] + bytes(200), f"{VERDICT} image_corrupt"),
        ("AVIF with a box of no size", small + bytes(1000), f"{VERDICT} image_corrupt"),
        ("AVIF by brand alone", small[:24] + b"\xff" * 200, "image_corrupt image_truncated"),
    ]


def _apng(width: int, height: int, frame: tuple[int, int]) -> bytes:
    control = struct.pack("!IIIIIHHBB", 0, *frame, 0, 0, 1, 10, 0, 0)
    return png(width, height, chunk(b"acTL", struct.pack("!II", 2, 0)), chunk(b"fcTL", control))


@cache
def _zeros(count: int) -> bytes:
    """So many zeros, packed, without ever holding them."""
    packer = zlib.compressobj(9)
    block = bytes(MIB)
    parts = [packer.compress(block) for _ in range(count // MIB)]
    return b"".join((*parts, packer.compress(bytes(count % MIB)), packer.flush()))
