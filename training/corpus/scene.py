"""What stands before the lens: dead leaves under a sky, with lights, lines and lettering, in linear light at twice the final resolution."""

import numpy as np

from training.corpus.filters import Planes
from training.corpus.ornaments import bokeh, colour, lettering, line_grid, sky
from training.corpus.population import HOME, Population
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
    paint = colour(rng) * (light * (1 + np.float32(rng.uniform(0, 0.35)) * pattern))
    np.copyto(canvas[:, y0:y1, x0:x1], paint, where=inside)


def render_scene(rng: np.random.Generator, height_px: int, width_px: int, population: Population = HOME) -> Planes:
    """Return linear light [3, 2 * height, 2 * width], about 0..1; both sides at least 100."""
    h, w = OVERSAMPLING * height_px, OVERSAMPLING * width_px
    texture = pink_noise(rng, h, w)
    ramp = np.linspace(0, 1, h, dtype=np.float32)[None, :, None]
    canvas = colour(rng) * (1 - ramp) + colour(rng) * ramp
    canvas = canvas * (1 + np.float32(rng.uniform(0.02, 0.25)) * texture)
    canvas = canvas.astype(np.float32)
    for _ in range(int(rng.integers(*population.leaves))):
        _leaf(rng, canvas, texture)
    if chance(rng, population.sky):
        sky(rng, canvas, texture)
    if chance(rng, population.bokeh):
        bokeh(rng, canvas)
    for ornament, share in ((line_grid, population.line_grid), (lettering, population.lettering)):
        while chance(rng, share):
            ornament(rng, canvas)
    return np.clip(canvas, 0, 1.2).astype(np.float32)
