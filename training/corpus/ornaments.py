"""What photographs show beside textured shapes: a sky, lights out of focus, ruled lines, lettering. Each paints over what is there."""

from itertools import pairwise

import numpy as np

from training.corpus.filters import Planes
from training.corpus.seeds import chance

_LATTICE = np.array([(row / 3, column / 2) for row in range(4) for column in range(3)], np.float32)


def colour(rng: np.random.Generator) -> Planes:
    """A linear-light colour [3, 1, 1]: grey plus a little tint, since saturated scenes are rare."""
    grey = 0.9 * rng.random() ** 1.5 + 0.02
    tinted: Planes = np.clip(grey * (1 + 0.35 * rng.standard_normal(3)), 0.01, 1).astype(np.float32)[:, None, None]
    return tinted


def sky(rng: np.random.Generator, canvas: Planes, texture: Planes) -> None:
    """A smooth gradient with faint clouds above an uneven horizon, in the upper third or so."""
    h, w = canvas.shape[1:]
    reach = int(h * rng.uniform(0.12, 0.4))
    horizon = reach * (0.8 + 0.2 * np.sin(np.linspace(0, rng.uniform(2, 12), w) + rng.uniform(0, 6)))
    above = np.arange(reach, dtype=np.float32)[:, None] < horizon.astype(np.float32)
    zenith = np.array([0.16, 0.3, 0.6], np.float32)[:, None, None] * np.float32(rng.uniform(0.4, 1.2))
    haze = np.float32(rng.uniform(0.3, 0.9)) * np.ones((3, 1, 1), np.float32)
    height = np.linspace(0, 1, reach, dtype=np.float32)[None, :, None]
    clouds = np.float32(rng.uniform(0, 0.12)) * texture[:reach]
    np.copyto(canvas[:, :reach], (zenith * (1 - height) + haze * height) * (1 + clouds), where=above)


def bokeh(rng: np.random.Generator, canvas: Planes) -> None:
    """Lights far out of focus: translucent discs with a brighter rim."""
    h, w = canvas.shape[1:]
    for _ in range(int(rng.integers(4, 16))):
        radius = int(rng.integers(6, 28))
        y, x = int(rng.integers(radius, h - radius)), int(rng.integers(radius, w - radius))
        axis = np.arange(-radius, radius + 1, dtype=np.float32) / np.float32(radius)
        distance = np.hypot(axis[:, None], axis[None, :])
        opacity = np.float32(rng.uniform(0.25, 0.7)) * (0.7 + 0.3 * distance**4) * (distance < 1)
        patch = canvas[:, y - radius : y + radius + 1, x - radius : x + radius + 1]
        patch += opacity * (np.minimum(2 * colour(rng) + np.float32(0.2), 1) - patch)


def line_grid(rng: np.random.Generator, canvas: Planes) -> None:
    """Ruled lines, as of a fence, a blind or a table; crossed half the time."""
    h, w = canvas.shape[1:]
    height, width = int(rng.integers(30, 90)), int(rng.integers(60, 140))
    y, x = int(rng.integers(0, h - height)), int(rng.integers(0, w - width))
    ink, pitch, thick = colour(rng), int(rng.integers(6, 16)), int(rng.integers(1, 4))
    for row in range(y, y + height, pitch):
        canvas[:, row : row + thick, x : x + width] = ink
    if chance(rng, 0.5):
        for column in range(x, x + width, pitch):
            canvas[:, y : y + height, column : column + thick] = ink


def lettering(rng: np.random.Generator, canvas: Planes) -> None:
    """A line of letter-like shapes: strokes between points of a lattice, which a decoder cannot keep."""
    h, w = canvas.shape[1:]
    size = int(rng.integers(12, 30))
    advance, count = round(0.8 * size), int(rng.integers(4, 13))
    y, x = int(rng.integers(0, h - size)), int(rng.integers(0, max(1, w - count * advance)))
    ink, half = colour(rng), np.float32(rng.uniform(0.5, 0.09 * size))
    for left in range(x, min(w - advance, x + count * advance), advance):
        shape = _letter(rng, size, advance, half)
        patch = canvas[:, y : y + size, left : left + advance]
        patch += shape * (ink - patch)


def _letter(rng: np.random.Generator, height: int, width: int, half_stroke: np.float32) -> Planes:
    """Coverage [height, width] in 0..1 of three or four strokes."""
    box = np.array([height - 2 * half_stroke - 1, 0.75 * width - 2 * half_stroke], np.float32)
    points = _LATTICE[rng.permutation(len(_LATTICE))[: int(rng.integers(4, 6))]] * np.maximum(box, 1) + half_stroke
    yy = np.arange(height, dtype=np.float32)[:, None]
    xx = np.arange(width, dtype=np.float32)[None, :]
    nearest = np.full((height, width), np.inf, np.float32)
    for (y0, x0), (y1, x1) in pairwise(points):
        dy, dx = y1 - y0, x1 - x0
        along = np.clip(((yy - y0) * dy + (xx - x0) * dx) / (dy * dy + dx * dx), 0, 1)
        nearest = np.minimum(nearest, np.hypot(yy - y0 - along * dy, xx - x0 - along * dx))
    coverage: Planes = np.clip(half_stroke + np.float32(0.5) - nearest, 0, 1)
    return coverage
