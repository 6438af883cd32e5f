"""What stands before the lens: sky, dead leaves, strokes and grids, in linear light at twice the final resolution."""

import numpy as np

from training.corpus.filters import Planes
from training.corpus.seeds import chance

OVERSAMPLING = 2


def pink_noise(rng: np.random.Generator, h: int, w: int) -> Planes:
    """1/f noise [h, w] of zero mean and unit deviation, the spectrum of natural scenes."""
    spectrum = np.fft.rfft2(rng.standard_normal((h, w), dtype=np.float32))
    f = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None, :]).astype(np.float32)
    f[0, 0] = 1
    noise: Planes = np.fft.irfft2(spectrum / f, s=(h, w)).astype(np.float32)
    noise -= noise.mean()
    noise /= noise.std()
    return noise


def _colour(rng: np.random.Generator) -> Planes:
    """A linear-light colour [3, 1, 1]: grey plus a little tint, since saturated scenes are rare."""
    grey = 0.9 * rng.random() ** 1.5 + 0.02
    colour: Planes = np.clip(grey * (1 + 0.35 * rng.standard_normal(3)), 0.01, 1).astype(np.float32)[:, None, None]
    return colour


def _leaf(rng: np.random.Generator, canvas: Planes, texture: Planes) -> None:
    """Paint one shaded, textured ellipse or box over what is there."""
    h, w = canvas.shape[1:]
    radius = 10 * (1 - rng.random() * (1 - (10 / (0.3 * h)) ** 1.6)) ** (-1 / 1.6)  # power law: many small, few large
    ry, rx = radius * rng.uniform(0.5, 1.2), radius * rng.uniform(0.5, 1.2)
    cy, cx = rng.uniform(0, h), rng.uniform(0, w)
    reach = 1.2 * max(ry, rx) * 1.42
    y0, y1 = max(0, int(cy - reach)), min(h, int(cy + reach) + 1)
    x0, x1 = max(0, int(cx - reach)), min(w, int(cx + reach) + 1)
    yy = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(cy)
    xx = np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(cx)
    angle = rng.uniform(0, np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = (c * xx + s * yy) / np.float32(rx), (c * yy - s * xx) / np.float32(ry)
    inside = (u * u + v * v < 1) if chance(rng, 0.6) else (np.maximum(np.abs(u), np.abs(v)) < np.float32(0.9))
    oy, ox = rng.integers(0, h - (y1 - y0) + 1), rng.integers(0, w - (x1 - x0) + 1)
    if chance(rng, 0.7):
        pattern = texture[oy : oy + y1 - y0, ox : ox + x1 - x0]
    else:
        pattern = np.sin(np.float32(rng.uniform(2, 25)) * u + np.float32(rng.uniform(0, 6)))
    light = 1 + np.float32(rng.uniform(-0.3, 0.3)) * u + np.float32(rng.uniform(-0.3, 0.3)) * v
    paint = _colour(rng) * (light * (1 + np.float32(rng.uniform(0, 0.35)) * pattern))
    np.copyto(canvas[:, y0:y1, x0:x1], paint, where=inside)


def _strokes(rng: np.random.Generator, canvas: Planes) -> None:
    """Letter-like strokes and line grids: thin structure that a decoder cannot keep."""
    h, w = canvas.shape[1:]
    for _ in range(int(rng.integers(0, 5))):
        y, x = int(rng.integers(0, h - 40)), int(rng.integers(0, w - 100))
        ink, pitch, thick = _colour(rng), int(rng.integers(6, 14)), int(rng.integers(1, 4))
        if chance(rng, 0.5):
            for row in range(y, min(h, y + 40), pitch):
                canvas[:, row : row + thick, x : x + 100] = ink
            continue
        for column in range(x, x + 100, pitch):
            top = y + int(rng.integers(0, 12))
            canvas[:, top : top + int(rng.integers(6, 26)), column : column + thick] = ink
            canvas[:, top : top + thick, column : column + int(rng.integers(1, pitch + 1))] = ink


def render_scene(rng: np.random.Generator, height_px: int, width_px: int) -> Planes:
    """Return linear light [3, 2 * height, 2 * width], about 0..1."""
    h, w = OVERSAMPLING * height_px, OVERSAMPLING * width_px
    texture = pink_noise(rng, h, w)
    ramp = np.linspace(0, 1, h, dtype=np.float32)[None, :, None]
    canvas = _colour(rng) * (1 - ramp) + _colour(rng) * ramp
    canvas = canvas * (1 + np.float32(rng.uniform(0.02, 0.25)) * texture)
    for _ in range(int(rng.integers(25, 91))):
        _leaf(rng, canvas, texture)
    _strokes(rng, canvas)
    return np.clip(canvas, 0, 1.2).astype(np.float32)
