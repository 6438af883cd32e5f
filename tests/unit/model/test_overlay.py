import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from model.decode import from_array
from model.overlay import lay_out, render
from model.pixels import Pixels, cut


def _grey(width: int, height: int) -> Pixels:
    return cut(from_array(np.full((height, width, 3), 100, np.uint8)), seed=b"")


def _one_spot(row: int, column: int) -> np.ndarray:
    cam = np.zeros((1, 7, 7), np.float32)
    cam[0, row, column] = 1
    return cam


def _with_box(pixels: Pixels, left: int, top: int) -> Pixels:
    box = np.array([[left, top, left + 224, top + 224]], np.int32)
    return dataclasses.replace(pixels, crops=pixels.crops[:1], boxes=box)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 3), (6, 1), (2, 6)])
def test_a_hot_spot_is_drawn_where_the_crop_had_it(row, column):
    """A 1024 x 768 picture at half size: the spot's centre in the thumb follows from box and cell."""
    pixels = _with_box(_grey(1024, 768), 600, 300)
    heat = lay_out(pixels.boxes, _one_spot(row, column), (1024, 768), pixels.thumb.shape)
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    assert abs(x - (600 + (column + 0.5) * 32) / 2) <= 8
    assert abs(y - (300 + (row + 0.5) * 32) / 2) <= 8


@pytest.mark.parametrize("kind", ["webp", "jpeg"])
def test_the_file_shows_the_spot_and_leaves_the_rest_alone(kind):
    """Changed most at the spot; outside of the crop the picture keeps its grey."""
    pixels = _with_box(_grey(1024, 768), 600, 300)
    data = render(pixels, _one_spot(3, 3), format=kind)
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    change = np.abs(picture - 100).sum(-1)
    within = change[158:254, 308:404]  # inside of the crop's frame
    y, x = np.unravel_index(int(within.argmax()), within.shape)
    assert abs(x + 308 - 356) <= 12
    assert abs(y + 158 - 206) <= 12
    outside = np.delete(change, np.s_[130:280], axis=0)
    assert outside.max() <= 12  # what the lossy encoding moves


def test_a_padded_crop_is_drawn_only_inside_the_picture():
    """100 x 60: the box reaches over every edge, the middle of the map is the middle of the picture."""
    pixels = _grey(100, 60)
    heat = lay_out(pixels.boxes, _one_spot(3, 3), (100, 60), pixels.thumb.shape)
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    assert heat.shape == (60, 100)
    assert abs(x - 50) <= 2
    assert abs(y - 30) <= 2


def test_where_crops_overlap_the_hotter_shows():
    """Neither sum nor mean: a place is as hot as the crop that saw most in it."""
    boxes = np.array([[0, 0, 224, 224], [0, 0, 224, 224]], np.int32)
    cams = np.stack([np.full((7, 7), 0.3, np.float32), np.full((7, 7), 0.8, np.float32)])
    heat = lay_out(boxes, cams, (224, 224), (224, 224))
    np.testing.assert_allclose(heat, 0.8, atol=1e-5)


def test_no_heat_changes_nothing_within_and_around_the_frame():
    """Zero is no blue."""
    pixels = _with_box(_grey(1024, 768), 600, 300)
    data = render(pixels, np.zeros((1, 7, 7), np.float32))
    change = np.abs(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int) - 100)
    assert change[158:254, 308:404].max() <= 3
    assert change[:140].max() <= 3
    assert change[275:].max() <= 3


@pytest.mark.parametrize("kind", ["webp", "jpeg"])
def test_the_file_carries_no_metadata(kind):
    """No EXIF, no XMP, no profile: nothing of the uploader's leaks."""
    with Image.open(io.BytesIO(render(_grey(300, 300), np.ones((5, 7, 7), np.float32), format=kind))) as picture:
        assert picture.format == kind.upper()
        assert not {"exif", "xmp", "icc_profile", "comment"} & picture.info.keys()


def test_the_narrowest_picture_can_be_drawn():
    """One pixel wide."""
    pixels = _grey(1, 900)
    assert render(pixels, np.ones((len(pixels.crops), 7, 7), np.float32))


def test_each_crop_has_a_frame():
    """On a large photograph a crop without heat must still be seen as looked at."""
    pixels = _with_box(_grey(1024, 768), 600, 300)
    data = render(pixels, np.zeros((1, 7, 7), np.float32))
    drawn = np.asarray(Image.open(io.BytesIO(data)).convert("L")).astype(int)
    assert drawn[200, 300] > 130
    assert drawn[200, 411] > 130
    assert drawn[150, 350] > 130
    assert drawn[261, 350] > 130


def test_a_crop_as_large_as_the_picture_has_no_frame():
    """There is nothing around it to tell it from."""
    data = render(_grey(224, 224), np.zeros((1, 7, 7), np.float32))
    assert np.abs(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int) - 100).max() <= 3
