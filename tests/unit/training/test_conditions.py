import io

import numpy as np
import pytest
from PIL import Image

from schemas.errors import ConfigError, ImageRejected
from training.conditions import conditions_of, require_condition, under
from training.corpus.files import png
from training.params import EvaluateParams


def picture(height=240, width=320):
    return png(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def opened(data):
    return Image.open(io.BytesIO(data))


def draw(condition, seed=1, data=None):
    return under(data or picture(), condition, np.random.default_rng(seed))


def test_the_conditions_of_the_parameters_in_their_order():
    """Clean and laundered first, then one thing at a time."""
    params = EvaluateParams(jpeg_qualities=(90,), webp_qualities=(80,), resize_factors=(0.5,))
    assert conditions_of(params) == (
        "clean", "laundered", "jpeg_q90", "webp_q80", "resize_x0.5", "screenshot", "double_jpeg",
    )  # fmt: skip


def test_every_condition_of_the_parameters_gives_an_image():
    """None raises, and all but `clean` are other bytes."""
    for condition in conditions_of(EvaluateParams()):
        changed = draw(condition)
        opened(changed).load()
        assert (changed == picture()) == (condition == "clean")


@pytest.mark.parametrize(
    ("condition", "kind", "size"),
    [("jpeg_q75", "JPEG", (320, 240)), ("webp_q80", "WEBP", (320, 240)), ("resize_x0.5", "PNG", (160, 120)),
     ("double_jpeg", "JPEG", (320, 240))],
)  # fmt: skip
def test_a_condition_does_one_thing(condition, kind, size):
    """Compression keeps the size, resizing loses no more by compression."""
    image = opened(draw(condition))
    assert (image.format, image.size) == (kind, size)


def test_a_lower_quality_makes_a_smaller_file():
    """The sweep goes the way its names say."""
    sizes = [len(draw(f"jpeg_q{quality}")) for quality in (95, 85, 75, 50)]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("condition", ["laundered", "screenshot", "double_jpeg"])
def test_one_draw_gives_one_file(condition):
    """The same stream gives the same bytes, another one others."""
    assert draw(condition, seed=3) == draw(condition, seed=3)
    assert len({draw(condition, seed=seed) for seed in range(4)}) > 1


def test_a_user_s_file_is_decoded_as_serving_decodes_it():
    """An image that lies on its side is put upright before it is laundered."""
    target = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    opened(picture()).save(target, "JPEG", exif=exif.tobytes())
    assert opened(draw("jpeg_q90", data=target.getvalue())).size == (240, 320)


def test_bytes_that_are_no_image_are_rejected():
    """As serving would reject them."""
    with pytest.raises(ImageRejected):
        draw("jpeg_q90", data=b"not an image, and long enough to be looked at")


@pytest.mark.parametrize("name", ["jpg_q75", "jpeg_q0", "jpeg_q101", "webp_qbest", "resize_x0", "resize_x9", ""])
def test_a_condition_that_is_none_is_refused(name):
    """The error lists what there is."""
    with pytest.raises(ConfigError, match="unknown condition") as caught:
        require_condition(name)
    assert "laundered" in caught.value.why
