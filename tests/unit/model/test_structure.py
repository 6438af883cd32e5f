"""Files that are small, allowed and slow are refused before a decoder walks over them; what encoders and phones make is not."""

import contextlib
import io
import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.hostile import GIF_DOT, chunk, gif, picture, png, save, segment, with_segments

from model.decode import decode
from model.header import declared_size
from model.jpeg_segments import FRAMES, SCAN, scans, segments
from model.limits import DEFAULT_LIMITS
from model.structure import check_structure
from schemas.errors import ImageMetadataTooLarge, ImageTooComplex, ImageTruncated

BASELINE = save(picture(), "JPEG")
PROGRESSIVE = save(picture(), "JPEG", progressive=True)


def check(data, kind):
    check_structure(data, kind, declared_size(data, kind), DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("PNG", png(4, 4, chunk(b"prVt", b"") * 1001)),
        ("PNG", png(4, 4, chunk(b"tEXt", b"k\0v") * 1001)),
        ("JPEG", with_segments(BASELINE, segment(0xFE, b"") * 1001)),
        ("GIF", gif(b"!\xfe" + b"\1x" * 10_001 + b"\0", GIF_DOT)),
        ("GIF", gif(b"!\x01\0" * 10_001, GIF_DOT)),
        ("GIF", gif(b"?" * 10_001, GIF_DOT)),
    ],
    ids=["png chunks", "png texts", "jpeg segments", "gif comment", "gif extensions", "gif junk"],
)
def test_too_many_parts_beside_the_pixels_are_refused(kind, data):
    """Each costs a step in Python, or the unpacking of a profile."""
    with pytest.raises(ImageMetadataTooLarge):
        check(data, kind)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("PNG", png(4, 4, chunk(b"IDAT", b"") * 100_001)),
        ("JPEG", BASELINE[:2] + b"\xff" * 5000 + BASELINE[2:]),
        ("JPEG", BASELINE[:2] + b"?" * 5000 + BASELINE[2:]),
    ],
    ids=["pieces of pixels", "fill", "junk"],
)
def test_what_only_takes_time_is_refused(kind, data):
    """No encoder writes it, and Pillow walks through it byte by byte."""
    with pytest.raises(ImageTooComplex):
        check(data, kind)


def test_scans_are_counted_by_what_they_go_over():
    """Five thousand over a thumbnail are cheap; 81 over 25 megapixels are not."""
    big = save(Image.new("RGB", (5000, 5000)), "JPEG", progressive=True)
    for sound, repeats in ((PROGRESSIVE, 5000), (big, 60)):
        scan = sound[sound.rfind(b"\xff\xda") : -2]
        check(sound[:-2] + scan * repeats + sound[-2:], "JPEG")
    with pytest.raises(ImageTooComplex):
        check(big[:-2] + scan * 81 + big[-2:], "JPEG")


def test_what_follows_a_picture_is_not_counted_as_its_scans():
    """A phone's motion photo has a film behind the picture, and chance puts scan markers into it."""
    big = save(Image.new("RGB", (5000, 5000)), "JPEG")
    check(big + b"\xff\xda" * 1000, "JPEG")
    [*_, last] = segments(big)
    assert (last.marker, scans(big + b"\xff\xda" * 1000, last.at)) == (SCAN, 1)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_with_fewer_bits_than_blocks_is_truncated_whatever_its_end_says(progressive):
    """libjpeg would fill the rest with grey and only warn: a verdict on grey would be wrong."""
    small = save(picture(), "JPEG", progressive=progressive)
    at = next(one.at for one in segments(small) if one.marker in {0xC0, 0xC2})
    lying = small[: at + 1] + (6000).to_bytes(2, "big") * 2 + small[at + 5 :]
    with pytest.raises(ImageTruncated):
        check(lying, "JPEG")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"quality": 1}, {"subsampling": 2}])
def test_the_emptiest_sound_jpeg_has_bits_enough(options):
    """One colour, 25 megapixels, in every way Pillow writes."""
    data = save(Image.new("L" if "quality" in options else "RGB", (5000, 5000)), "JPEG", **options)
    check(data, "JPEG")
    assert declared_size(data, "JPEG") == (5000, 5000)


def test_metadata_as_rich_as_real_files_have_passes():
    """A profile in 255 segments, EXIF, XMP in pieces; a GIF with a long comment; a PNG with 200 texts."""
    rich = with_segments(
        BASELINE,
        *(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(100)) for n in range(1, 256)),
        *(segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60_000)) for _ in range(200)),
        b"\xff" * 100,
    )
    assert decode(rich, DEFAULT_LIMITS).rgb.size == (64, 64)
    assert decode(gif(b"!\xfe" + (b"\xff" + b"x" * 255) * 4000 + b"\0", GIF_DOT), DEFAULT_LIMITS).format == "GIF"
    texts = [chunk(b"tEXt", b"key%d\0value" % n) for n in range(200)]
    assert decode(png(64, 64, *texts), DEFAULT_LIMITS).format == "PNG"


@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "AVIF"]), st.binary(max_size=80))
def test_any_bytes_pass_or_are_refused_by_name(kind, tail):
    """Property: the walk ends on whatever there is, with an error of the tree or none."""
    start = {"PNG": png(4, 4)[:33], "JPEG": BASELINE[:40], "GIF": gif()[:13], "WEBP": b"RIFF", "AVIF": b""}[kind]
    with contextlib.suppress(ImageMetadataTooLarge, ImageTooComplex, ImageTruncated):
        check(start + tail, kind)


@settings(max_examples=400)
@given(st.binary(max_size=60) | st.binary(max_size=8).map(lambda tail: b"\xff" + tail))
@example(b"\xff\xf0")
@example(b"\xff\xc8\xff\xd9")
def test_segments_are_found_where_pillow_finds_them(body):
    """Property: the frame that Pillow reads its size from is the one we read it from."""
    data = with_segments(BASELINE, body)
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            size = image.size
    except Exception:  # noqa: BLE001 -- what Pillow refuses need not have a size
        return
    frames = [one for one in itertools.islice(segments(data), 100) if one.marker in {*FRAMES, 0xDE}]
    assert size == declared_size(data, "JPEG") or len(frames) > 1
