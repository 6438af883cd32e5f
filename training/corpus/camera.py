"""The real class: lens, mosaic, shot noise, demosaicing and development. Also the noiseless development all decoders start from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.corpus.filters import Planes, blur, box_down, to_srgb, unsharp
from training.corpus.population import HOME, Population
from training.corpus.scene import OVERSAMPLING
from training.corpus.seeds import chance

# Malvar, He, Cutler 2004: 5x5 linear demosaicing, each kernel in eighths.
_G_AT_RB = [(-2, 0, -1), (-1, 0, 2), (0, -2, -1), (0, -1, 2), (0, 0, 4), (0, 1, 2), (0, 2, -1), (1, 0, 2), (2, 0, -1)]
_RB_AT_G_ROW = [
    (-2, 0, 0.5), (-1, -1, -1), (-1, 1, -1), (0, -2, -1), (0, -1, 4), (0, 0, 5),
    (0, 1, 4), (0, 2, -1), (1, -1, -1), (1, 1, -1), (2, 0, 0.5),
]  # fmt: skip
_RB_AT_BR = [
    (-2, 0, -1.5), (-1, -1, 2), (-1, 1, 2), (0, -2, -1.5), (0, 0, 6),
    (0, 2, -1.5), (1, -1, 2), (1, 1, 2), (2, 0, -1.5),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera and its exposure; drawn once a scene, shared by all five classes where it shapes tone."""

    psf_sigma_px: float  # on the oversampled grid
    vignetting: float
    white_balance: tuple[float, float, float]
    electrons_at_white: float  # log-uniform: bright day to dim room
    read_noise_electrons: float
    malvar: bool  # else bilinear demosaicing
    denoise: float
    saturation: float
    sharpen: float

    @staticmethod
    def draw(rng: np.random.Generator, population: Population = HOME) -> "Camera":
        """Any camera of the population, from a bright day on a good sensor to a dim room on a poor one."""
        return Camera(
            psf_sigma_px=float(rng.uniform(*population.psf_sigma_px)),
            vignetting=float(rng.uniform(0, 0.35)),
            white_balance=(float(rng.uniform(0.45, 0.65)), 1.0, float(rng.uniform(0.5, 0.75))),
            electrons_at_white=float(10 ** rng.uniform(*population.log10_electrons)),
            read_noise_electrons=float(rng.uniform(1.5, 4)),
            malvar=chance(rng, population.malvar),
            denoise=float(rng.uniform(*population.denoise)),
            saturation=float(rng.uniform(*population.saturation)),
            sharpen=float(rng.uniform(*population.sharpen)),
        )


def _vignette(camera: Camera, h: int, w: int) -> Planes:
    y = np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, w, dtype=np.float32)[None, :]
    return 1 - np.float32(camera.vignetting / 2) * (y * y + x * x)


def _tone(camera: Camera, linear: Planes) -> Planes:
    """Colour matrix (saturation about luma) and the sRGB curve."""
    luma = linear.mean(axis=0, keepdims=True, dtype=np.float32)
    return to_srgb(linear + np.float32(camera.saturation) * (linear - luma))


def develop(scene: Planes, camera: Camera) -> Planes:
    """The scene as an ideal sensor would give it: [3, h, w] in 0..1, no mosaic, no noise."""
    light = box_down(scene, OVERSAMPLING)
    return _tone(camera, light * _vignette(camera, *light.shape[1:]))


def _gather(raw: Planes, taps: Sequence[tuple[int, int, float]], *, transpose: bool = False) -> Planes:
    """Correlate a mosaic [h, w] with sparse taps given in eighths."""
    h, w = raw.shape
    padded = np.pad(raw, 2, mode="reflect")
    out = np.zeros_like(raw)
    for row, column, eighths in taps:
        dy, dx = (column, row) if transpose else (row, column)
        out += np.float32(eighths / 8) * padded[2 + dy : 2 + dy + h, 2 + dx : 2 + dx + w]
    return out


def _demosaic(raw: Planes, *, malvar: bool) -> Planes:
    """RGGB mosaic [h, w] to planes [3, h, w]."""
    if malvar:
        green, cross = _gather(raw, _G_AT_RB), _gather(raw, _RB_AT_BR)
        along_row, along_column = _gather(raw, _RB_AT_G_ROW), _gather(raw, _RB_AT_G_ROW, transpose=True)
    else:
        sides = [(-1, 0, 2.0), (1, 0, 2.0), (0, -1, 2.0), (0, 1, 2.0)]
        green = _gather(raw, sides)
        cross = _gather(raw, [(-1, -1, 2.0), (-1, 1, 2.0), (1, -1, 2.0), (1, 1, 2.0)])
        along_row = _gather(raw, [(0, -1, 4.0), (0, 1, 4.0)])
        along_column = _gather(raw, [(-1, 0, 4.0), (1, 0, 4.0)])
    out = np.stack([raw, raw, raw])
    red, grn, blu = out
    grn[::2, ::2], grn[1::2, 1::2] = green[::2, ::2], green[1::2, 1::2]
    red[::2, 1::2], blu[1::2, ::2] = along_row[::2, 1::2], along_row[1::2, ::2]
    red[1::2, ::2], blu[::2, 1::2] = along_column[1::2, ::2], along_column[::2, 1::2]
    red[1::2, 1::2], blu[::2, ::2] = cross[1::2, 1::2], cross[::2, ::2]
    return out


def photograph(scene: Planes, camera: Camera, rng: np.random.Generator) -> Planes:
    """The scene as this camera takes it: [3, h, w] in 0..1.

    Shot noise is the normal approximation of Poisson, good from some ten electrons on.
    """
    light = box_down(blur(scene, camera.psf_sigma_px), OVERSAMPLING)
    h, w = light.shape[1:]
    balance = np.array(camera.white_balance, np.float32)[:, None, None]
    sensed = np.clip(light * _vignette(camera, h, w), 0, 1) * balance
    raw = np.empty((h, w), np.float32)
    raw[::2, ::2], raw[::2, 1::2] = sensed[0, ::2, ::2], sensed[1, ::2, 1::2]
    raw[1::2, ::2], raw[1::2, 1::2] = sensed[1, 1::2, ::2], sensed[2, 1::2, 1::2]
    white = np.float32(camera.electrons_at_white)
    variance = raw / white + np.float32(camera.read_noise_electrons / camera.electrons_at_white) ** 2
    raw = np.clip(raw + np.sqrt(variance) * rng.standard_normal((h, w), dtype=np.float32), 0, 1)
    rgb = _demosaic(raw, malvar=camera.malvar) / balance
    rgb += np.float32(camera.denoise) * (blur(rgb, 0.8) - rgb)
    return unsharp(_tone(camera, rgb), 1.0, camera.sharpen)
