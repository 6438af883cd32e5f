"""What the FFT branch looked at: the spectrum of the fine detail, as a picture, and the parts of it that speak for the class.

Up-sampling leaves lines and dots at regular places, JPEG leaves dots at the multiples of 1/8: a photograph has a smooth spectrum.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from model import gradcam
from model.config import CROP_PX
from model.network import Ensemble
from model.spectrum import CELLS, GRID_STEP

SCALE: Final = 2  # picture pixels a bin
SIDE_PX: Final = CROP_PX * SCALE
_SHOWN: Final = 3  # cells that are framed
_DARKEST, _BRIGHTEST = 1.0, 99.8  # percentiles: a few bins of leakage around zero must not set the scale
_MARK: Final = (60, 180, 255)
_CELL: Final = (248, 149, 64)


@dataclass(frozen=True, slots=True)
class SpectrumPicture:
    """The picture, and where the evidence lies."""

    picture: npt.NDArray[np.uint8]  # [448, 448, 3]
    cells: tuple[
        tuple[float, float], ...
    ]  # frequencies (down, across; cycles a pixel) of the framed cells, strongest first
    luma_share: float  # of the evidence, whichever way it points; the rest lies in colour, which is not shown


def spectrum_picture(network: Ensemble, crops: Tensor, joint: Tensor, target: int) -> SpectrumPicture:
    """Draw the log-power of the luma residual, averaged over uint8 crops [k, 224, 224, 3], with zero frequency in the middle.

    Blue corners mark the multiples of 1/8. Orange frames stand around the cells that speak most for class `target`: gradient of the
    ensemble's logit times how far the cell is from the average of the training images, over the mean and peak of each cell.
    """
    with torch.no_grad():
        half = network.fft.log_power(crops)[:, 0].mean(0).cpu().numpy()
    cells = evidence(network, crops, joint, target).cpu().numpy()  # [2, 14, 8]
    best = [index for index in np.argsort(-cells[0], axis=None, kind="stable")[:_SHOWN] if cells[0].flat[index] > 0]
    rows, columns = np.unravel_index(best, cells[0].shape) if best else ((), ())
    picture = _grey(full_plane(half))
    _mark(picture, [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)])
    weight = float(np.abs(cells).sum())
    return SpectrumPicture(
        picture=np.asarray(picture),
        cells=tuple(_frequency(int(row), int(column)) for row, column in zip(rows, columns, strict=True)),
        luma_share=float(np.abs(cells[0]).sum()) / weight if weight else 0.0,
    )


def evidence(network: Ensemble, crops: Tensor, joint: Tensor, target: int) -> Tensor:
    """Return what each cell of the two residuals adds to the logit, to first order [2, 14, 8], averaged over the crops."""
    branch = network.fft
    held = joint.detach().clone()
    with torch.no_grad():
        slope = gradcam.head_gradient(network.head, held, torch.full((len(held),), target, device=held.device))
        normal = branch.scale(branch.statistics(crops))
    with torch.enable_grad():
        normal = normal.clone().requires_grad_()
        value = (branch.project(normal) * slope[:, -network.widths["fft"] :]).sum()
        (gradient,) = torch.autograd.grad(value, normal)
    # What the average training image has is the shift of the normalisation, so the distance is counted from there.
    added = (gradient * (normal.detach() - branch.scale.bias.detach())).mean(0)
    count = 2 * CELLS[0] * CELLS[1]
    cells: Tensor = added[:count] + added[count : 2 * count]
    return cells.view(2, *CELLS)


def full_plane(half: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the whole plane [224, 224] of a half spectrum [224, 113] of a real picture, with zero frequency at [112, 112]."""
    mirrored = np.roll(half[::-1, 1:-1][:, ::-1], 1, axis=0)  # P[-r, -c] = P[r, c]
    return np.fft.fftshift(np.concatenate([half, mirrored], axis=1))


def _grey(plane: npt.NDArray[np.floating]) -> Image.Image:
    low, high = np.percentile(plane, [_DARKEST, _BRIGHTEST])
    level = ((plane - low) / max(high - low, 1e-6)).clip(0, 1)
    grey = Image.fromarray((level * 255).round().astype(np.uint8))
    return grey.resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST).convert("RGB")


def _mark(picture: Image.Image, cells: list[tuple[int, int]]) -> None:
    """Draw the marks of period 8 and the frames; a frame and its mirror image are the same evidence."""
    draw = ImageDraw.Draw(picture)
    for down in range(0, CROP_PX, GRID_STEP):
        for across in range(0, CROP_PX, GRID_STEP):
            x, y = across * SCALE, down * SCALE
            for dx, dy in ((-7, -7), (7, -7), (-7, 7), (7, 7)):  # corners only: the dot itself must be seen
                draw.line([(x + dx, y + dy), (x + dx - dx // 2, y + dy)], fill=_MARK, width=2)
                draw.line([(x + dx, y + dy), (x + dx, y + dy - dy // 2)], fill=_MARK, width=2)
    height, width = CROP_PX // CELLS[0], CROP_PX // 2 // CELLS[1]
    for row, column in cells:
        top, left = (row * height + CROP_PX // 2) % CROP_PX, column * width + CROP_PX // 2
        mirror = (CROP_PX - top - height + 1) % CROP_PX, CROP_PX - left - width + 1
        for y, x in ((top, left), mirror):
            box = [x * SCALE, y * SCALE, (x + width) * SCALE - 1, (y + height) * SCALE - 1]
            draw.rectangle(box, outline=_CELL, width=2)


def _frequency(row: int, column: int) -> tuple[float, float]:
    """Return the middle of a cell in cycles a pixel, -0.5..0.5 downwards and 0..0.5 across."""
    down = (row + 0.5) / CELLS[0]
    return (down - 1 if down > 0.5 else down), (column + 0.5) / CELLS[1] / 2  # noqa: PLR2004
