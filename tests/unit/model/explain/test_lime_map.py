"""LIME over superpixels: a planted patch is found, the same twice, and nothing else is touched."""

import sys

import numpy as np
import pytest
import torch

from model import faithfulness
from model.decode import from_array
from model.explain import lime_map
from model.pixels import cut
from schemas.errors import UsageError


def _planted(width: int = 300, height: int = 260):
    """A grey picture of noise with a red square of 60 pixels, left above."""
    noise = np.random.default_rng(4).integers(110, 140, (height, width, 3), dtype=np.uint8)
    noise[40:100, 50:110] = (220, 30, 30)
    return cut(from_array(noise), seed=b"s")


def _redness(pixels, parts):
    """A classifier that sees red: probability by the share of red in the view."""
    view = torch.tensor(pixels.view)[None]
    blur = faithfulness.blurred(view)

    def probability(kept):
        seen = lime_map.kept_pictures(view, parts.view[None], kept, blur)[:, 0].float()
        return (seen[..., 0] - seen[..., 1] > 100).float().mean((1, 2)) * 5

    return probability


def test_a_planted_patch_is_found():
    """The strongest part is the red square's, and the heat elsewhere is faint."""
    pixels = _planted()
    parts = lime_map.superpixels(pixels)
    fitted = lime_map.fit(_redness(pixels, parts), parts.count, seed=b"1")
    heat = lime_map.heat(fitted.weights)[parts.thumb]
    hottest = heat == 1
    assert hottest[40:100, 50:110].sum() > 0.5 * hottest.sum()
    assert heat[130:].max() < 0.2
    assert fitted.r_squared > 0.9


def test_a_part_that_decides_alone_gets_all_the_weight():
    """0.2 without and 0.8 with the fourth part: the others get nothing, and the fit is nearly whole."""
    fitted = lime_map.fit(lambda kept: 0.2 + 0.6 * kept[:, 3].double(), 12, seed=b"x")
    assert fitted.weights[3] == pytest.approx(0.6, abs=0.1)
    assert np.abs(np.delete(fitted.weights, 3)).max() < 0.05
    assert (fitted.r_squared > 0.95, fitted.samples) == (True, lime_map.SAMPLES)


def test_the_same_seed_gives_the_same_weights_and_the_global_generator_is_left_alone():
    """Whoever trains in this process draws what he would have drawn."""
    state = torch.get_rng_state()
    one, two, other = (
        lime_map.fit(lambda kept: kept[:, ::2].double().mean(1), 9, seed=seed, samples=24).weights
        for seed in (b"a", b"a", b"b")
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_probability_that_never_moves_has_no_map():
    """No weight, no heat, and no division by zero."""
    fitted = lime_map.fit(lambda kept: torch.full((len(kept),), 0.5), 6, seed=b"x", samples=16)
    assert lime_map.heat(fitted.weights).max() == pytest.approx(0, abs=1e-6) or fitted.weights.max() < 1e-6
    assert fitted.r_squared == 0


def test_what_speaks_against_the_class_is_not_heat():
    """Only the strongest for it is 1."""
    assert lime_map.heat(np.array([-3.0, 0.5, 0.25])).tolist() == [0.0, 1.0, 0.5]


@pytest.mark.parametrize(("width", "height"), [(300, 260), (1400, 900), (90, 700)])
def test_a_part_is_the_same_in_crop_view_and_thumb(width, height):
    """A picture of two halves, one part each: wherever a branch sees white it is the white part, also in reflected borders."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, width // 2 :] = 255
    pixels = cut(from_array(picture), seed=b"q")
    parts = lime_map.superpixels(pixels)
    white = np.zeros(parts.count, bool)
    for part in range(parts.count):
        white[part] = pixels.thumb[parts.thumb == part].mean() > 127
    for labels, seen in ((parts.view, pixels.view), *zip(parts.crops, pixels.crops, strict=True)):
        assert labels.shape == seen.shape[:2]
        assert (white[labels] == (seen[..., 0] > 127)).mean() > 0.97


def test_left_out_parts_take_the_blur_and_kept_ones_stay():
    """Pixel by pixel, for each sample its own parts."""
    pictures = torch.full((1, 2, 2, 3), 9, dtype=torch.uint8)
    blur = torch.zeros_like(pictures)
    labels = np.array([[[0, 0], [1, 1]]])
    seen = lime_map.kept_pictures(pictures, labels, torch.tensor([[True, False], [False, True]]), blur)
    assert seen[:, 0, :, :, 0].tolist() == [[[9, 9], [0, 0]], [[0, 0], [9, 9]]]


def test_without_the_extra_the_error_names_it(monkeypatch):
    """Instead of a traceback about scikit-image."""
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(UsageError, match="LIME is not installed") as caught:
        lime_map.superpixels(_planted())
    assert "deeptrace[lime]" in caught.value.remedy
