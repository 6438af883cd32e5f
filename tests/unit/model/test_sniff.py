import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.sniff import FORMATS, sniff
from schemas.errors import ImageFormatUnsupported, ImageIsHeic, ImageIsSvg, ImageRejected, NotAnImage


@pytest.mark.parametrize("kind", FORMATS)
def test_each_allowed_format_is_known_by_its_first_bytes(kind, photo, encode):
    """What Pillow writes in the five formats is recognised."""
    assert sniff(encode(photo(20, 10), kind)) == kind


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "JPEG2000", "ICO", "PPM", "SGI", "DDS", "PDF", "EPS"])
def test_other_image_formats_are_refused_as_unsupported(kind, photo, encode):
    """An image of another format is not called garbage."""
    with pytest.raises(ImageFormatUnsupported):
        sniff(encode(photo(20, 10), kind))


@pytest.mark.parametrize(
    "data",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- note -->\n<SVG width="1"/>',
        b'\n <!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN">\n<svg/>',
    ],
)
def test_svg_is_refused_by_its_own_name(data):
    """With a byte order mark, a declaration or a comment in front too."""
    with pytest.raises(ImageIsSvg):
        sniff(data)


@pytest.mark.parametrize("brands", [b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic", b"hevc\0\0\0\0msf1hevc"])
def test_heic_is_refused_by_its_own_name(brands):
    """Whether HEIC is the major or a compatible brand."""
    with pytest.raises(ImageIsHeic):
        sniff((8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands)


def test_an_avif_that_is_compatible_with_heif_is_avif():
    """AVIF files name mif1 among their brands."""
    assert sniff(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif") == "AVIF"


def test_a_film_is_unsupported():
    """MP4 shares its container with AVIF."""
    with pytest.raises(ImageFormatUnsupported, match="video"):
        sniff(b"\0\0\0\x18ftypisom\0\0\0\0isommp42")


@pytest.mark.parametrize("data", [b"hello, world", b"<html><body>", b"{}", b"P5", b"\0", b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_image_is_said_to_be_none(data):
    """Text, markup and other containers."""
    with pytest.raises(NotAnImage):
        sniff(data)


@given(st.binary(max_size=64))
def test_any_bytes_have_a_format_or_a_rejection(data):
    """No input makes the sniffer itself fail."""
    with contextlib.suppress(ImageRejected):
        assert sniff(data) in FORMATS
