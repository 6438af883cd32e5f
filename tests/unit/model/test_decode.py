import io
import zlib

import numpy as np
import pytest
from PIL import Image

from model.decode import decode
from model.limits import DEFAULT_LIMITS, DecodeLimits
from schemas.errors import (
    ImageCorrupt,
    ImageMetadataTooLarge,
    ImageRejected,
    ImageTooManyFrames,
    ImageTooManyPixels,
    ImageTruncated,
    ImageZeroSize,
    ObjectEmpty,
    ObjectTooLarge,
)


def _chunk(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")


def _png(width: int, height: int, *extra: bytes, body: bytes = b"") -> bytes:
    """A grey PNG of any declared size, with further chunks."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    chunks = (_chunk(b"IHDR", header), *extra, _chunk(b"IDAT", zlib.compress(body)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_a_sound_file_of_each_format_decodes(kind, photo, encode):
    """Format, size and a picture close to what was saved."""
    picture = photo(300, 240)
    found = decode(encode(picture, kind), DEFAULT_LIMITS)
    assert (found.format, found.rgb.size, found.frames, found.flags) == (kind, (300, 240), 1, set())
    assert np.abs(np.asarray(found.rgb).astype(int) - np.asarray(picture)).mean() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_a_file_cut_anywhere_never_gives_half_a_picture(kind, photo, encode):
    """At every percent: the whole picture where only what follows it is gone, else a rejection."""
    data = encode(photo(120, 90), kind)
    whole = np.asarray(decode(data, DEFAULT_LIMITS).rgb)
    refused = 0
    for percent in range(1, 100):
        try:
            cut = decode(data[: len(data) * percent // 100], DEFAULT_LIMITS)
        except ImageRejected:
            refused += 1
        else:
            assert np.array_equal(np.asarray(cut.rgb), whole), f"cut at {percent} %"
    assert refused >= 90


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_file_cut_in_its_pixels_is_called_truncated(kind, photo, encode):
    """Not merely corrupt; what its header declares is said with it (an AVIF's size stands in boxes that we do not read)."""
    data = encode(photo(120, 90), kind)
    with pytest.raises(ImageTruncated) as caught:
        decode(data[: len(data) * 7 // 10], DEFAULT_LIMITS)
    assert caught.value.declared == (None if kind == "AVIF" else (kind, 120, 90))


def test_a_file_cut_within_its_header_declares_nothing(photo, encode):
    """Nothing can be said about the image, so it can have no verdict."""
    with pytest.raises(ImageTruncated) as caught:
        decode(encode(photo(120, 90), "JPEG")[:100], DEFAULT_LIMITS)
    assert caught.value.declared is None


def test_a_file_that_is_whole_but_broken_is_called_corrupt(photo, encode):
    """Wrong bytes in the compressed pixels of a PNG that runs to its end."""
    data = bytearray(encode(photo(120, 90), "PNG"))
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    with pytest.raises(ImageCorrupt):
        decode(bytes(data), DEFAULT_LIMITS)


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (8_000, 5_001), (40_000_001, 1)])
def test_a_picture_over_the_pixel_cap_is_refused_by_its_header(width, height):
    """Before a byte is unpacked: the file declares the pixels and holds none."""
    with pytest.raises(ImageTooManyPixels):
        decode(_png(width, height), DEFAULT_LIMITS)


def test_a_webp_over_the_pixel_cap_is_refused_by_its_header():
    """Pillow's plugin would allocate two canvases of the declared size at opening."""
    data = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (16_382).to_bytes(3, "little") * 2 + bytes(8)
    with pytest.raises(ImageTooManyPixels):
        decode(data, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        _png(0, 10),
        _png(10, 0),
        b"GIF89a\0\0\0\0\0\0\0;",
        b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\0\x01\x01\x11\0\xff\xd9",
    ],
    ids=["png 0 wide", "png 0 high", "gif", "jpeg"],
)
def test_a_picture_without_pixels_is_refused(data):
    """0 x 0 has its own error."""
    with pytest.raises(ImageZeroSize):
        decode(data, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    "bomb",
    [
        _chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(200 << 20))),
        _chunk(b"iTXt", b"note\0\x01\0\0\0" + zlib.compress(bytes(2 << 20))),
        _chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2 << 20))),
    ],
    ids=["zTXt", "iTXt", "iCCP"],
)
def test_a_metadata_bomb_is_refused_by_its_own_name(bomb):
    """Small in the file, megabytes when unpacked."""
    with pytest.raises(ImageMetadataTooLarge):
        decode(_png(4, 4, bomb, body=bytes(20)), DEFAULT_LIMITS)


def test_many_texts_that_unpack_to_too_much_are_refused():
    """Each is under its cap; together they are over the cap for all."""
    text = _chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(1_000_000)))
    with pytest.raises(ImageMetadataTooLarge):
        decode(_png(4, 4, *[text] * 80, body=bytes(20)), DEFAULT_LIMITS)


def test_an_animation_gives_its_first_frame_and_is_flagged():
    """The frame that is judged is the one a reader sees first."""
    target = io.BytesIO()
    first, second = Image.new("RGB", (30, 20), (250, 0, 0)), Image.new("RGB", (30, 20), (0, 0, 250))
    first.save(target, "WEBP", save_all=True, append_images=[second], lossless=True)
    found = decode(target.getvalue(), DEFAULT_LIMITS)
    assert (found.frames, found.flags, found.rgb.getpixel((5, 5))) == (2, {"animated"}, (250, 0, 0))


@pytest.mark.parametrize(
    "limits",
    [DecodeLimits(max_frames=4), DecodeLimits(max_total_pixels=30 * 20 * 4)],
    ids=["frames", "frames x pixels"],
)
def test_an_animation_over_a_cap_is_refused(limits):
    """Five frames of 30 x 20 against caps of four."""
    target = io.BytesIO()
    pictures = [Image.new("RGB", (30, 20), (shade * 40, 0, 0)) for shade in range(5)]
    pictures[0].save(target, "GIF", save_all=True, append_images=pictures[1:])
    with pytest.raises(ImageTooManyFrames):
        decode(target.getvalue(), limits)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(orientation, encode):
    """Red lies left top and blue right bottom, whichever way the camera was held."""
    upright = Image.new("RGB", (40, 20), (128, 128, 128))
    upright.paste((255, 0, 0), (0, 0, 10, 10))
    upright.paste((0, 0, 255), (30, 10, 40, 20))
    # What a camera stores for each orientation: the inverse of how a viewer must turn it.
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(upright.transpose(stored) if stored is not None else upright, "PNG", exif=exif.tobytes())
    assert np.array_equal(np.asarray(decode(data, DEFAULT_LIMITS).rgb), np.asarray(upright))


def test_a_broken_exif_block_counts_as_upright(photo, encode):
    """It must not cost a sound picture."""
    data = encode(photo(40, 20), "WEBP", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f", lossless=True)
    assert decode(data, DEFAULT_LIMITS).rgb.size == (40, 20)


def test_sixteen_bits_a_channel_are_flagged():
    """Of a grey PNG the high byte is kept."""
    target = io.BytesIO()
    Image.fromarray(np.full((8, 8), 0x12FF, np.uint16)).save(target, "PNG")
    found = decode(target.getvalue(), DEFAULT_LIMITS)
    assert (found.flags, found.rgb.getpixel((0, 0))) == ({"sixteen_bit"}, (0x12, 0x12, 0x12))


def test_no_bytes_and_too_many_bytes_are_refused_as_objects():
    """Both are the object's fault, not the picture's."""
    with pytest.raises(ObjectEmpty):
        decode(b"", DEFAULT_LIMITS)
    with pytest.raises(ObjectTooLarge):
        decode(bytes(11), DecodeLimits(max_bytes=10))


def test_a_jpeg_with_a_foreign_tail_decodes(photo, encode):
    """A polyglot is judged by its picture; the tail is never served again."""
    found = decode(encode(photo(64, 64), "JPEG") + b"PK\x05\x06" + bytes(18), DEFAULT_LIMITS)
    assert found.rgb.size == (64, 64)
