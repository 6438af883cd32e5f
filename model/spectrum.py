"""The FFT branch: what up-sampling, demosaicing and JPEG leave in the spectrum of a crop at native resolution."""

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from model.config import CROP_PX

GRID_STEP = (
    CROP_PX // 8
)  # bins at which a pattern of period 8 (JPEG blocks, decoders of stride 8, 4, 2) has its harmonics
_RINGS = 16
CELLS = _ROWS, _COLUMNS = 14, 8  # cells of 16 x 14 bins
_EPSILON = 1e-8  # well under the power of 8-bit rounding, 1.3e-6


class SpectrumBranch(nn.Module):
    """uint8 crops [N, 224, 224, 3] -> features [N, width], always in float32 (there is no half-precision FFT on CPU).

    The spectrum is of the Laplacian of luma and of G - (R + B)/2. A Laplacian is zero only at DC; the cross difference
    that is often used here is zero on both axes, where the strongest lines of up-sampling stand.
    """

    planes: Tensor
    window: Tensor
    radius: Tensor

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        planes = torch.tensor([[0.299, 0.587, 0.114], [-0.5, 1.0, -0.5]]) / 255
        self.register_buffer("planes", planes, persistent=False)
        hann = torch.hann_window(CROP_PX, periodic=False)
        self.register_buffer("window", hann.outer(hann), persistent=False)
        self.register_buffer("radius", _radial_means(), persistent=False)
        statistics = 2 * (2 * _ROWS * _COLUMNS + 8 * 5 + _RINGS)
        self.scale = nn.BatchNorm1d(statistics)
        self.project = nn.Sequential(nn.Linear(statistics, 128), nn.GELU(), nn.Linear(128, width))

    def forward(self, crops: Tensor) -> Tensor:
        """Return the features [N, width]."""
        with torch.autocast(crops.device.type, enabled=False):
            features: Tensor = self.project(self.scale(self.statistics(crops)))
            return features

    def statistics(self, crops: Tensor) -> Tensor:
        """Return what the network reads of each log-power spectrum [N, 560]: cells, peaks, the 8-grid, radial falloff."""
        spectrum = self.log_power(crops)
        count = len(spectrum)
        cells = spectrum[..., :-1].reshape(count, 2, _ROWS, CROP_PX // _ROWS, _COLUMNS, CROP_PX // 2 // _COLUMNS)
        mean = cells.mean((3, 5))
        peak = cells.amax((3, 5)) - mean
        radial = spectrum.flatten(2) @ self.radius
        return torch.cat([part.flatten(1) for part in (mean, peak, _grid_excess(spectrum), radial)], dim=1)

    def log_power(self, crops: Tensor) -> Tensor:
        """Return the log-power half spectrum [N, 2, 224, 113] of both residuals under a Hann window."""
        planes = (self.planes @ crops.float().flatten(1, 2).mT).view(-1, 2, CROP_PX, CROP_PX)
        edged = nnf.pad(planes, (1, 1, 1, 1), mode="replicate")
        across = edged[..., 1:-1, :-2] + edged[..., 1:-1, 2:]
        along = edged[..., :-2, 1:-1] + edged[..., 2:, 1:-1]
        residual = planes - (across + along) / 4
        # The window is zero on the border, which hides what the padding made up there.
        wave = torch.fft.rfft2(residual * self.window, norm="ortho")
        return torch.log(wave.real.square() + wave.imag.square() + _EPSILON)


def _grid_excess(spectrum: Tensor) -> Tensor:
    """How far the harmonics of period 8 stand out of their surroundings [N, 2, 8, 5]; 3 x 3 bins allow for leakage."""
    wrapped = nnf.pad(nnf.pad(spectrum, (0, 0, 4, 4), mode="circular"), (4, 4, 0, 0), mode="reflect")
    boxes = [
        wrapped[..., row : row + 9, column : column + 9]
        for row in range(0, CROP_PX, GRID_STEP)
        for column in range(0, CROP_PX // 2 + 1, GRID_STEP)
    ]
    around = torch.stack(boxes, dim=2)  # [N, 2, 40, 9, 9]
    excess = around[..., 3:6, 3:6].amax((3, 4)) - around.mean((3, 4))
    return excess.view(-1, 2, 8, 5)


def _radial_means() -> Tensor:
    """A matrix [224 * 113, 16] that averages a flattened half spectrum over rings of equal width."""
    rows = torch.fft.fftfreq(CROP_PX).view(-1, 1)
    columns = torch.fft.rfftfreq(CROP_PX).view(1, -1)
    ring = (torch.hypot(rows, columns) / 0.5 * _RINGS).long().clamp(max=_RINGS - 1).flatten()
    member = nnf.one_hot(ring, _RINGS).float()
    return member / member.sum(0)
