import io

import numpy as np
import pytest
from PIL import Image

from schemas.errors import NotAnImage
from training.corpus.files import jpeg, png
from training.facts import dhash, facts_of


def picture(seed=1):
    """Smooth content, as photographs have."""
    rng = np.random.default_rng(seed)
    return np.asarray(
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((360, 270), Image.Resampling.BICUBIC)
    )


def distance(one, other):
    return (dhash(one) ^ dhash(other)).bit_count()


def test_facts_are_those_of_the_file():
    """Hash, length, size of the upright image, and format by content."""
    data = png(picture())
    facts = facts_of(data)
    assert (facts.bytes, facts.width, facts.height, facts.format) == (len(data), 360, 270, "PNG")
    assert len(facts.sha256) == 64
    assert facts.dhash == f"{dhash(picture()):016x}"


def test_a_turned_photograph_is_measured_upright():
    """EXIF orientation 6 exchanges width and height."""
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.fromarray(picture()).save(out, "JPEG", exif=exif)
    facts = facts_of(out.getvalue())
    assert (facts.width, facts.height) == (270, 360)


def test_the_hash_survives_compression_and_resizing():
    """A re-uploaded picture is near its original, another picture is not."""
    small = np.asarray(Image.fromarray(picture()).resize((180, 135)))
    with Image.open(io.BytesIO(jpeg(picture(), 50))) as image:
        pressed = np.asarray(image)
    assert distance(picture(), small) <= 6
    assert distance(picture(), pressed) <= 6
    assert distance(picture(), picture(2)) > 6


def test_a_rising_ramp_is_all_ones_and_a_flat_picture_all_zeros():
    """The bits say where brightness rises to the right."""
    ramp = np.repeat(np.linspace(0, 255, 90).astype(np.uint8)[None, :, None], 80, 0).repeat(3, 2)
    assert dhash(ramp) == 2**64 - 1
    assert dhash(np.full((80, 90, 3), 128, np.uint8)) == 0


def test_what_is_no_image_has_no_facts():
    """The rejection of the image comes through."""
    with pytest.raises(NotAnImage):
        facts_of(b"hello")
