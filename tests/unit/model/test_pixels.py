import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.decode import from_array
from model.pixels import cut, preprocess
from model.policy import DEFAULT_POLICY, policy_of
from schemas.errors import ConfigError


def _noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * 100_000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 700), st.integers(1, 700), st.binary(max_size=8))
def test_any_size_gives_crops_a_view_and_a_thumb_of_the_promised_shapes(width, height, seed):
    """Distinct places, as many as there are up to five; shapes and types as documented."""
    pixels = cut(from_array(_noise(width, height)), seed=seed)
    places = max(width - 223, 1) * max(height - 223, 1)
    count = min(5, places)
    assert (pixels.crops.shape, pixels.crops.dtype) == ((count, 224, 224, 3), np.uint8)
    assert (pixels.boxes.shape, pixels.boxes.dtype) == ((count, 4), np.int32)
    assert (pixels.view.shape, pixels.view.dtype) == ((224, 224, 3), np.uint8)
    assert len({tuple(box) for box in pixels.boxes.tolist()}) == count
    assert max(pixels.thumb.shape[:2]) <= 512
    assert ("low_res" in pixels.flags) == (min(width, height) < 224)


@settings(deadline=None, max_examples=30)
@given(st.integers(224, 600), st.integers(224, 600), st.binary(max_size=8))
def test_a_crop_is_the_picture_at_its_box_untouched(width, height, seed):
    """Native resolution: not one value may change between the file and the model."""
    picture = _noise(width, height)
    pixels = cut(from_array(picture), seed=seed)
    for crop, (left, top, right, bottom) in zip(pixels.crops, pixels.boxes, strict=True):
        assert np.array_equal(crop, picture[top:bottom, left:right])


def test_the_first_crop_is_the_centre():
    """A 424 x 324 picture has it 100 from the left and 50 from the top."""
    assert cut(from_array(_noise(424, 324)), seed=b"").boxes[0].tolist() == [100, 50, 324, 274]


def test_the_places_of_the_crops_are_frozen():
    """They are part of the policy's id: another draw would be another policy."""
    boxes = cut(from_array(_noise(1000, 800)), seed=b"deeptrace").boxes
    assert boxes[:, :2].tolist() == [[388, 288], [418, 380], [744, 460], [58, 472], [698, 96]]


def test_a_small_picture_is_reflected_around_itself():
    """200 x 200: twelve pixels of mirror image on each side, and the box says where the picture lies."""
    picture = _noise(200, 200)
    pixels = cut(from_array(picture), seed=b"")
    assert pixels.boxes.tolist() == [[-12, -12, 212, 212]]
    crop = pixels.crops[0]
    assert np.array_equal(crop[12:212, 12:212], picture)
    assert np.array_equal(crop[11, 12:212], picture[1])
    assert np.array_equal(crop[12:212, 212], picture[:, 198])


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 1000), (1000, 1), (2, 3), (224, 1)])
def test_the_narrowest_pictures_are_padded_too(width, height):
    """One pixel has nothing to reflect but itself."""
    pixels = cut(from_array(np.full((height, width, 3), 77, np.uint8)), seed=b"")
    assert set(pixels.crops.ravel().tolist()) == {77}
    assert set(pixels.view.ravel().tolist()) == {77}


def test_a_long_thin_picture_is_not_padded_whole():
    """1 x 40,000,000 padded to 224 rows would need 27 GB; a crop of it needs 150 kB."""
    pixels = cut(from_array(np.zeros((1, 40_000_000, 3), np.uint8)), seed=b"")
    assert pixels.crops.shape == (5, 224, 224, 3)
    assert pixels.thumb.shape == (1, 512, 3)


def test_the_same_bytes_and_seed_give_the_same_pixels(photo, encode):
    """A redelivered reference must get the verdict it had."""
    data = encode(photo(640, 480), "JPEG")
    one, two = preprocess(data, seed=b"s"), preprocess(data, seed=b"s")
    assert np.array_equal(one.crops, two.crops)
    assert np.array_equal(one.view, two.view)


def test_the_view_and_the_thumb_show_the_whole_picture():
    """Left half black, right half white: both keep the halves, whatever the shape of the picture."""
    picture = np.zeros((300, 900, 3), np.uint8)
    picture[:, 450:] = 255
    pixels = cut(from_array(picture), seed=b"")
    assert pixels.thumb.shape == (171, 512, 3)
    for small in (pixels.view, pixels.thumb):
        middle = small.shape[1] // 2
        assert small[:, : middle - 4].max() == 0
        assert small[:, middle + 4 :].min() == 255


def test_the_view_is_antialiased():
    """Lines of one pixel at full resolution blur to grey; a sampled view would be black or white."""
    picture = np.zeros((1120, 1120, 3), np.uint8)
    picture[:, ::2] = 255
    view = cut(from_array(picture), seed=b"").view[20:-20, 20:-20]
    assert 110 <= view.min() <= view.max() <= 145


def test_an_unknown_policy_is_refused_with_the_known_ones():
    """The error names what this release can do."""
    with pytest.raises(ConfigError, match="crops5-224-native-v1"):
        policy_of("resize-224")
    assert policy_of("crops5-224-native-v1") is DEFAULT_POLICY


def test_decoding_and_serving_types_do_not_import_torch():
    """Decoder processes must stay small, and the worker's first line must not take seconds."""
    modules = "model.pixels, model.decode_pool, model.classifier, model.fake, model.overlay, model.codecs_check"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_one_colour_is_blank_however_it_was_saved(kind, encode):
    """And so is what is transparent all over, and a step of one level that nobody sees."""
    assert "blank" in preprocess(encode(Image.new("RGB", (300, 200), (200, 30, 90)), kind), seed=b"").flags
    assert "blank" in preprocess(encode(Image.new("RGBA", (300, 200), (1, 2, 3, 0)), "PNG"), seed=b"").flags
    step = np.full((300, 300, 3), 128, np.uint8)
    step[:150] = 129
    assert "blank" in cut(from_array(step), seed=b"").flags


@pytest.mark.parametrize("deviation", [2, 8, 60])
def test_noise_is_not_blank(deviation):
    """A photograph of the dark is one; a fine texture counts though the view has none of it left."""
    noise = np.random.default_rng(1).normal(128, deviation, (2000, 2000, 3)).clip(0, 255).astype(np.uint8)
    assert "blank" not in cut(from_array(noise), seed=b"").flags


def test_what_only_the_view_shows_counts_as_content():
    """A drawing in the corner of a white page, where no crop looks."""
    page = np.full((3000, 3000, 3), 255, np.uint8)
    page[:200, :200] = 0
    pixels = cut(from_array(page), seed=b"")
    assert all(crop.min() == 255 for crop in pixels.crops)
    assert "blank" not in pixels.flags
