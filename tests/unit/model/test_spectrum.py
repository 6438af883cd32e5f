import numpy as np
import pytest
import torch

from model.spectrum import SpectrumBranch, _grid_excess, _radial_means


@pytest.fixture(scope="module")
def branch() -> SpectrumBranch:
    torch.manual_seed(0)
    return SpectrumBranch(64).eval()


def _noise(seed: int, *, deviation: float = 12) -> torch.Tensor:
    values = np.random.default_rng(seed).normal(128, deviation, (1, 224, 224, 3))
    return torch.from_numpy(values.clip(0, 255).astype(np.uint8))


def test_features_are_float32_of_the_chosen_width(branch):
    """[N, 224, 224, 3] in, [N, 64] out."""
    features = branch(torch.cat([_noise(1), _noise(2)]))
    assert (features.shape, features.dtype) == ((2, 64), torch.float32)


def test_autocast_does_not_reach_the_spectrum(branch):
    """In bfloat16 the log-power of weak bins would be noise."""
    crops = _noise(1)
    with torch.autocast("cpu", torch.bfloat16):
        under = branch(crops)
    assert torch.equal(under, branch(crops))


def test_a_pattern_of_period_eight_stands_out_on_the_grid(branch):
    """Two grey levels on every eighth column: what block coding or a stride-8 decoder leaves."""
    plain = _noise(3)
    striped = plain.clone()
    striped[:, :, ::8] = (striped[:, :, ::8].int() + 6).clamp(max=255).to(torch.uint8)
    excess = _grid_excess(branch.log_power(striped))[0, 0] - _grid_excess(branch.log_power(plain))[0, 0]
    assert excess[0, 1:].min() > 2  # the horizontal harmonics 1/8 .. 1/2
    assert excess[1:, 1:].abs().max() < 2  # and nothing off the axis


def test_the_axes_are_not_blind(branch):
    """A cross difference is zero there; columns that alternate must show at (0, Nyquist)."""
    stripes = torch.full((1, 224, 224, 3), 120, dtype=torch.uint8)
    stripes[:, :, ::2] = 130
    power = branch.log_power(stripes)[0, 0]
    assert divmod(int(power.argmax()), power.shape[1]) == (0, 112)


def test_a_low_pass_shows_in_the_radial_falloff(branch):
    """Averaged neighbours lose power towards the edge of the spectrum."""
    rough = _noise(5)
    smooth = ((rough.float() + rough.float().roll(1, 1) + rough.float().roll(1, 2)) / 3).to(torch.uint8)
    difference = (branch.log_power(rough) - branch.log_power(smooth))[0, 0].flatten() @ branch.radius
    assert difference[14] > difference[2] + 1


def test_rings_are_means():
    """Each column of the matrix sums to one, so a flat spectrum gives its own level."""
    assert torch.allclose(_radial_means().sum(0), torch.ones(16))


def test_black_and_flat_pictures_give_finite_features(branch):
    """No logarithm of zero."""
    assert torch.isfinite(branch(torch.zeros(1, 224, 224, 3, dtype=torch.uint8))).all()
