"""The image as it is shipped on: what changes, what does not, and what is not made."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.decode import from_array
from model.pixels import cut
from model.reship import reship


def pixels_of(picture, seed=b"s"):
    return cut(from_array(np.asarray(picture)), seed=seed)


def test_a_small_image_is_compressed_whole_and_cut_at_the_same_places(photo):
    """Bit for bit what a platform that saves it as JPEG 60 and as WebP 80 would have us decode."""
    picture = photo(400, 300)
    jpeg, webp = reship(pixels_of(picture), seed=b"s")
    for view, kind, quality in ((jpeg, "JPEG", 60), (webp, "WEBP", 80)):
        target = io.BytesIO()
        picture.save(target, kind, quality=quality)
        delivered = pixels_of(Image.open(target).convert("RGB"))
        assert np.array_equal(view.crops, delivered.crops)
        assert np.array_equal(view.view, delivered.view)


def test_a_large_image_has_a_view_of_512_pixels_too(photo):
    """Cut from the reduced picture by the policy of the image."""
    whole = pixels_of(photo(1500, 1000))
    jpeg, webp, reduced = reship(whole, seed=b"s")
    assert (reduced.width, reduced.height) == (512, 341)
    assert np.array_equal(reduced.crops, pixels_of(whole.thumb).crops)
    assert reduced.preprocess_id == whole.preprocess_id
    for view in (jpeg, webp):
        assert (view.crops.shape, view.width) == (whole.crops.shape, 1500)
        off = np.abs(view.crops.astype(int) - whole.crops.astype(int))
        assert 0 < off.mean() < 10


@settings(deadline=None, max_examples=15)
@given(st.integers(32, 700), st.integers(32, 700))
def test_views_of_any_size_are_images_the_model_takes(width, height):
    """Property: shapes and types are those of the policy, and the image itself is left as it was."""
    noise = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels = pixels_of(noise)
    before = pixels.crops.copy()
    views = reship(pixels, seed=b"s")
    assert len(views) == (3 if max(width, height) > 512 else 2)
    for view in views:
        assert view.crops.shape[1:] == (224, 224, 3)
        assert (view.crops.dtype, view.view.dtype, view.view.shape) == (np.uint8, np.uint8, (224, 224, 3))
        assert len(view.crops) == len(view.boxes)
    assert np.array_equal(pixels.crops, before)


@pytest.mark.parametrize("size", [(400, 300), (1500, 1000)])
def test_the_same_image_gives_the_same_views(photo, size):
    """A reference that is delivered twice gets the verdict it had."""
    one, two = (reship(pixels_of(photo(*size)), seed=b"s") for _ in range(2))
    assert all(np.array_equal(a.crops, b.crops) for a, b in zip(one, two, strict=True))
