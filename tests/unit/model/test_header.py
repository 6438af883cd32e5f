import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.header import declared_size


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("GIF", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {"lossless": False}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
    ],
)
def test_the_declared_size_is_the_true_one(kind, options, photo, encode):
    """For each layout of a header: chunks, screens, start-of-frame markers, and all three WebP forms."""
    assert declared_size(encode(photo(300, 17), kind, **options), kind) == (300, 17)


@given(st.sampled_from(["PNG", "GIF", "JPEG", "WEBP", "AVIF"]), st.binary(max_size=60))
def test_a_header_that_is_cut_short_declares_nothing(kind, data):
    """Any bytes are answered, with a size or with None."""
    starts = {
        "PNG": b"\x89PNG\r\n\x1a\n",
        "GIF": b"GIF89a",
        "JPEG": b"\xff\xd8",
        "WEBP": b"RIFF\0\0\0\0WEBP",
        "AVIF": b"",
    }
    size = declared_size(starts[kind] + data, kind)
    assert size is None or min(size) >= 0
