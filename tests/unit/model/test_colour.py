import numpy as np
import pytest
from PIL import Image, ImageCms

from model.colour import to_rgb


def _first(image: Image.Image) -> tuple[int, ...]:
    pixel = image.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel


@pytest.mark.parametrize(
    ("image", "rgb", "flags"),
    [
        (Image.new("RGB", (2, 2), (1, 2, 3)), (1, 2, 3), set()),
        (Image.new("L", (2, 2), 77), (77, 77, 77), set()),
        (Image.new("1", (2, 2), 1), (255, 255, 255), set()),
        (Image.new("LA", (2, 2), (100, 0)), (255, 255, 255), {"alpha_flattened"}),
        (Image.new("RGBA", (2, 2), (200, 0, 0, 255)), (200, 0, 0), set()),
        (Image.new("RGBA", (2, 2), (0, 0, 0, 51)), (204, 204, 204), {"alpha_flattened"}),
        (Image.new("CMYK", (2, 2), (0, 255, 255, 0)), (255, 0, 0), {"cmyk"}),
        (Image.fromarray(np.full((2, 2), 0xABCD, np.uint16)), (0xAB, 0xAB, 0xAB), {"sixteen_bit"}),
    ],
    ids=lambda value: getattr(value, "mode", None),
)
def test_every_mode_becomes_rgb_by_the_written_policy(image, rgb, flags):
    """The literal pixel, and the flag that says what was done."""
    found: set[str] = set()
    result = to_rgb(image, found, max_icc_bytes=1 << 20)
    assert (result.mode, _first(result), found) == ("RGB", rgb, flags)


def test_a_palette_with_a_transparent_colour_is_flattened_on_white():
    """P with tRNS is the usual transparent GIF or PNG."""
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = 1
    flags: set[str] = set()
    rgb = to_rgb(image, flags, max_icc_bytes=1 << 20)
    assert [rgb.getpixel((0, 0)), rgb.getpixel((1, 0))] == [(10, 20, 30), (255, 255, 255)]
    assert flags == {"alpha_flattened"}


def test_an_srgb_profile_leaves_every_pixel_as_it_is():
    """A conversion from sRGB to sRGB would round, and the spectrum would show it."""
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    flags: set[str] = set()
    assert np.array_equal(to_rgb(image, flags, max_icc_bytes=1 << 20), pixels)
    assert flags == set()


def test_a_profile_that_means_other_colours_is_converted():
    """A grey picture on a Lab-derived grey profile is not possible here, so a warm white point stands for a wide gamut."""
    image = Image.new("L", (4, 4), 128)
    image.info["icc_profile"] = _linear_grey_profile()
    flags: set[str] = set()
    value = _first(to_rgb(image, flags, max_icc_bytes=1 << 20))[0]
    assert flags == {"icc_converted"}
    assert 183 <= value <= 193  # linear 0.5 is 188 in sRGB


@pytest.mark.parametrize(
    ("profile", "cap"), [(b"no profile", 1 << 20), (b"x" * 5000, 4096)], ids=["broken", "too large"]
)
def test_a_profile_that_cannot_be_used_is_ignored_and_flagged(profile, cap):
    """A bad profile must not cost a sound picture."""
    image = Image.new("RGB", (2, 2), (9, 8, 7))
    image.info["icc_profile"] = profile
    flags: set[str] = set()
    assert _first(to_rgb(image, flags, max_icc_bytes=cap)) == (9, 8, 7)
    assert flags == {"icc_ignored"}


def test_a_profile_for_other_channels_is_ignored_and_flagged():
    """An RGB profile in a CMYK file says nothing about its inks."""
    image = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    image.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    flags: set[str] = set()
    assert _first(to_rgb(image, flags, max_icc_bytes=1 << 20)) == (255, 0, 0)
    assert flags == {"cmyk", "icc_ignored"}


def _linear_grey_profile() -> bytes:
    """A smallest ICC v2 profile: grey, D50, gamma 1."""
    white = b"XYZ \0\0\0\0" + b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249))
    curve = b"curv\0\0\0\0" + (0).to_bytes(4, "big")
    text = b"desc\0\0\0\0" + (2).to_bytes(4, "big") + b"g\0" + bytes(78)
    tags, body, offset = [], b"", 128 + 4 + 12 * 3
    for name, data in ((b"wtpt", white), (b"kTRC", curve), (b"desc", text)):
        padded = data + bytes(-len(data) % 4)
        tags.append(name + (offset + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big"))
        body += padded
    header = bytearray(128)
    header[8:12] = b"\x02\x10\0\0"
    header[12:24] = b"mntrGRAYXYZ "
    header[36:40] = b"acsp"
    header[68:80] = white[8:]
    profile = bytes(header) + (3).to_bytes(4, "big") + b"".join(tags) + body
    return len(profile).to_bytes(4, "big") + profile[4:]
