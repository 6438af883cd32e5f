"""Small float32 image filters on planes [c, h, w]. No BLAS anywhere: its sums may differ with the number of threads."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Planes: TypeAlias = NDArray[Any]  # float32 [c, h, w], or [h, w] where a single plane is meant

_SRGB_KNEE = 0.0031308


def _pad(x: Planes, r: int) -> Planes:
    return np.pad(x, ((0, 0), (r, r), (r, r)), mode="reflect")


def _separable(x: Planes, taps: list[float]) -> Planes:
    """Correlate rows and columns with a symmetric odd kernel, reflecting at the border."""
    r = len(taps) // 2
    h, w = x.shape[1:]
    padded = _pad(x, r)
    rows = np.float32(taps[r]) * padded[:, r : r + h]
    for i in range(1, r + 1):
        rows += np.float32(taps[r + i]) * (padded[:, r + i : r + i + h] + padded[:, r - i : r - i + h])
    out = np.float32(taps[r]) * rows[:, :, r : r + w]
    for i in range(1, r + 1):
        out += np.float32(taps[r + i]) * (rows[:, :, r + i : r + i + w] + rows[:, :, r - i : r - i + w])
    return out


def blur(x: Planes, sigma_px: float) -> Planes:
    """Gaussian low-pass, cut at 2.5 sigma."""
    r = max(1, round(2.5 * sigma_px))
    taps = np.exp(-0.5 * (np.arange(-r, r + 1) / sigma_px) ** 2)
    return _separable(x, list(taps / taps.sum()))


def unsharp(x: Planes, sigma_px: float, amount: float) -> Planes:
    """Add back `amount` of what a blur takes away."""
    return x + np.float32(amount) * (x - blur(x, sigma_px))


def box_down(x: Planes, factor: int) -> Planes:
    """Mean of factor x factor blocks; both sides must be multiples of the factor."""
    c, h, w = x.shape
    blocks = x.reshape(c, h // factor, factor, w // factor, factor)
    means: Planes = blocks.mean(axis=(2, 4), dtype=np.float32)
    return means


def upsample_nearest(x: Planes) -> Planes:
    """Double both sides by repetition."""
    return x.repeat(2, axis=1).repeat(2, axis=2)


def upsample_bilinear(x: Planes) -> Planes:
    """Double both sides; the same as nearest followed by the [1 2 1]/4 kernel at half-pixel centres."""
    return _separable(upsample_nearest(x), [0.25, 0.5, 0.25])


def upsample_transposed(x: Planes, kernel: Planes) -> Planes:
    """Zero-insert and convolve with a kernel [3, 3]: uneven overlap leaves the checkerboard of a transposed convolution."""
    c, h, w = x.shape
    sparse = np.zeros((c, 2 * h, 2 * w), np.float32)
    sparse[:, ::2, ::2] = x
    padded = _pad(sparse, 1)
    out = np.zeros_like(sparse)
    for dy in range(3):
        for dx in range(3):
            out += kernel[dy, dx] * padded[:, dy : dy + 2 * h, dx : dx + 2 * w]
    return out


def conv3x3(x: Planes, weight: Planes) -> Planes:
    """Correlate [i, h, w] with weight [o, i, 3, 3]; reflected border; sums in a fixed order."""
    outputs, inputs = weight.shape[:2]
    h, w = x.shape[1:]
    padded = _pad(x, 1)
    out = np.zeros((outputs, h, w), np.float32)
    for o in range(outputs):
        for i in range(inputs):
            for dy in range(3):
                for dx in range(3):
                    out[o] += weight[o, i, dy, dx] * padded[i, dy : dy + h, dx : dx + w]
    return out


def silu(x: Planes) -> Planes:
    """X * sigmoid(x)."""
    return x / (np.float32(1) + np.exp(-x))


def to_srgb(linear: Planes) -> Planes:
    """Linear light to the sRGB curve, clipped to 0..1."""
    x = np.clip(linear, 0, 1).astype(np.float32)
    return np.where(x <= _SRGB_KNEE, 12.92 * x, 1.055 * x ** np.float32(1 / 2.4) - 0.055).astype(np.float32)


def match_moments(x: Planes, reference: Planes) -> Planes:
    """Give each channel the mean and deviation of the reference: colour and contrast must not tell the class."""
    axes = (1, 2)
    spread = reference.std(axis=axes, keepdims=True) / (x.std(axis=axes, keepdims=True) + np.float32(1e-6))
    matched: Planes = (x - x.mean(axis=axes, keepdims=True)) * spread + reference.mean(axis=axes, keepdims=True)
    return matched


def match_detail(x: Planes, reference: Planes, factor: float) -> Planes:
    """Scale fine detail to `factor` times the reference's mean strength: the length of a file must not tell the class."""
    coarse = blur(x, 1.2)
    fine = x - coarse
    target = np.abs(reference - blur(reference, 1.2)).mean() * np.float32(factor)
    matched: Planes = coarse + fine * (target / (np.abs(fine).mean() + np.float32(1e-6)))
    return matched


def to_uint8(x: Planes) -> NDArray[np.uint8]:
    """Planes 0..1 to an image [h, w, 3]."""
    return np.ascontiguousarray((np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
