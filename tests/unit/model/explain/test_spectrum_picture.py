"""The spectrum as a picture: the right dots in the right places."""

import numpy as np
import pytest
import torch

from model.explain.spectrum_picture import SIDE_PX, evidence, full_plane, spectrum_picture
from model.spectrum import SpectrumBranch


def test_the_half_plane_is_mirrored_as_the_spectrum_of_a_real_picture_is():
    """Against numpy's full transform."""
    noise = np.random.default_rng(1).random((224, 224))
    whole = np.abs(np.fft.fft2(noise))
    np.testing.assert_allclose(full_plane(np.abs(np.fft.rfft2(noise))), np.fft.fftshift(whole), rtol=1e-6)


def _stripes(period: int) -> torch.Tensor:
    wave = 127 + 60 * np.cos(2 * np.pi * np.arange(224) / period)
    noise = np.random.default_rng(2).normal(0, 1, (224, 224))
    grey = (np.broadcast_to(wave, (224, 224)) + noise).clip(0, 255).astype(np.uint8)
    return torch.from_numpy(np.repeat(grey[None, :, :, None], 3, axis=3))


@pytest.fixture(scope="module")
def drawn(tiny_network):
    crops = _stripes(8)
    with torch.inference_mode():
        joint = tiny_network(crops, crops, torch.tensor([0])).joint
    return spectrum_picture(tiny_network, crops, joint, 0)


def test_stripes_of_period_eight_are_two_dots_at_one_eighth(drawn):
    """28 bins left and right of the middle, inside of the blue corners; the brightest of the picture."""
    assert drawn.picture.shape == (SIDE_PX, SIDE_PX, 3)
    grey = drawn.picture.min(-1)
    for x in (2 * (112 - 28), 2 * (112 + 28)):
        assert grey[2 * 112, x] == 255
    assert (grey[: 2 * 100] == 255).mean() < 0.01


def test_the_marks_stand_at_the_multiples_of_one_eighth_and_nowhere_near_the_dots(drawn):
    """Blue is more blue than red; a corner lies 7 pixels off each dot."""
    blue = drawn.picture[..., 2].astype(int) - drawn.picture[..., 0] > 100
    assert blue[2 * 140 - 7, 2 * 56 - 7]
    assert not blue[2 * 140 - 2 : 2 * 140 + 3, 2 * 56 - 2 : 2 * 56 + 3].any()
    assert not blue[2 * 126, 2 * 98]


def test_the_picture_says_how_much_of_the_evidence_it_shows(drawn):
    """A share, and at most three cells, none of which lies over 1/2 cycle a pixel."""
    assert 0 < drawn.luma_share < 1
    assert 0 < len(drawn.cells) <= 3
    assert all(abs(down) <= 0.5 and 0 <= across <= 0.5 for down, across in drawn.cells)


def test_evidence_is_the_gradient_times_the_distance_from_the_average(tiny_network):
    """Against a finite difference: scaling one cell's distance up by a thousandth adds a thousandth of its evidence to the logit."""
    crops = _stripes(5)
    with torch.no_grad():
        joint = tiny_network(crops, crops, torch.tensor([0])).joint
        branch: SpectrumBranch = tiny_network.fft
        normal = branch.scale(branch.statistics(crops))
        found = evidence(tiny_network, crops, joint, 2)
        row, column, step = 3, 4, 1e-2
        moved = normal.double().clone()
        for offset in (0, 224):  # mean and peak of the luma cell
            moved[0, offset + row * 8 + column] *= 1 + step
        project, head = _double(branch.project), _double(tiny_network.head)

        def logit(statistics):
            return head(torch.cat([joint[:, :-64].double(), project(statistics)], 1))[0, 2]

        difference = (logit(moved) - logit(normal.double())) / step
    assert float(found[0, row, column]) == pytest.approx(float(difference), rel=0.05)


def _double(module):
    import copy

    return copy.deepcopy(module).double()
