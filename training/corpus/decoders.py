"""Simulated generators. Each is the last component only: a latent at a fraction of the size, and a decoder back to pixels.

The content comes in from outside (the same scene the camera saw), so a class differs by what its decoder loses and invents.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.corpus.families import Family
from training.corpus.filters import (
    Planes,
    blur,
    box_down,
    conv3x3,
    silu,
    unsharp,
    upsample_bilinear,
    upsample_nearest,
    upsample_transposed,
)
from training.corpus.seeds import stream

HIDDEN = 4


@dataclass(frozen=True, slots=True)
class Decoder:
    """One checkpoint of a family: random weights, and numbers that wander a little around the family's."""

    family: Family
    first: tuple[Planes, ...]  # one 3x3 kernel stack a stage
    second: tuple[Planes, ...]
    to_rgb: Planes  # [3, HIDDEN, 1, 1]
    transposed_kernel: Planes
    bottleneck_sigma_px: float
    gain: float

    @staticmethod
    def draw(seed: int, family: Family, checkpoint: int) -> "Decoder":
        """The checkpoint of this number: the same one for the same seed, wherever it is drawn."""
        rng = stream(seed, "decoder", family.name, checkpoint)

        def kernels() -> tuple[Planes, ...]:
            fan_in = 9 * HIDDEN
            shape = (len(family.upsampling), HIDDEN, HIDDEN, 3, 3)
            return tuple(rng.standard_normal(shape, dtype=np.float32) * np.float32((2 / fan_in) ** 0.5))

        even = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5]).astype(np.float32)
        return Decoder(
            family=family,
            first=kernels(),
            second=kernels(),
            to_rgb=rng.standard_normal((1, HIDDEN, 1, 1), dtype=np.float32)  # mostly luma, a little colour
            + np.float32(0.4) * rng.standard_normal((3, HIDDEN, 1, 1), dtype=np.float32),
            transposed_kernel=even * (1 + np.float32(0.03) * rng.standard_normal((3, 3), dtype=np.float32)),
            bottleneck_sigma_px=family.bottleneck_sigma_px * float(rng.uniform(0.7, 1.3)),
            gain=family.gain * float(rng.uniform(0.6, 1.5)),
        )


def _upsamplers(decoder: Decoder) -> list[Callable[[Planes], Planes]]:
    """One doubling a stage, from the latent up."""
    kinds: dict[str, Callable[[Planes], Planes]] = {
        "nearest": upsample_nearest,
        "bilinear": upsample_bilinear,
        "transposed": lambda x: upsample_transposed(x, decoder.transposed_kernel),
    }
    return [kinds[kind] for kind in decoder.family.upsampling]


def _invent(decoder: Decoder, latent: Planes) -> Planes:
    """Run latent [HIDDEN, h/stride, w/stride] through the doublings with random convolutions; returns texture [3, h, w], unit deviation."""
    x = latent
    for up, first, second in zip(_upsamplers(decoder), decoder.first, decoder.second, strict=True):
        x = up(x)
        x = x + conv3x3(silu(conv3x3(x, first)), second)
        x = x / (x.std(axis=(1, 2), keepdims=True) + np.float32(1e-6))
    rgb = (decoder.to_rgb * x[None]).sum(axis=1, dtype=np.float32)
    texture: Planes = rgb - blur(rgb, 1.5)  # band-limited: the coarse image stays what it was
    texture /= texture.std() + np.float32(1e-6)
    return texture


def _detail_energy(lost: Planes, stages: int) -> Planes:
    """Local strength [1, h, w] of what the bottleneck lost; decoders invent most where most was."""
    energy = np.sqrt(box_down((lost * lost).mean(axis=0, keepdims=True), 2**stages))
    for _ in range(stages):
        energy = upsample_bilinear(energy)
    return energy


def decode(content: Planes, decoder: Decoder, rng: np.random.Generator) -> Planes:
    """What this generator makes of `content` [3, h, w] in 0..1. Sides that its stride does not divide are mirrored, and cut again."""
    h, w = content.shape[1:]
    beyond = [-side % decoder.family.stride for side in (h, w)]
    if any(beyond):
        content = np.pad(content, ((0, 0), (0, beyond[0]), (0, beyond[1])), mode="reflect")
    return _decode(content, decoder, rng)[:, :h, :w]


def _decode(content: Planes, decoder: Decoder, rng: np.random.Generator) -> Planes:
    family = decoder.family
    kept = unsharp(blur(content, decoder.bottleneck_sigma_px), decoder.bottleneck_sigma_px, 0.35)
    energy = _detail_energy(content - kept, len(family.upsampling))
    coarse = box_down(content, family.stride)
    coarse = np.round(coarse / np.float32(family.latent_step)) * np.float32(family.latent_step)
    noise = rng.standard_normal((HIDDEN, *coarse.shape[1:]), dtype=np.float32)
    latent = noise
    latent[:3] += (coarse - coarse.mean(axis=(1, 2), keepdims=True)) / (coarse.std() + np.float32(1e-6))
    texture = _invent(decoder, latent)
    strength = np.float32(0.3) + np.minimum(energy / (energy.mean() + np.float32(1e-6)), np.float32(2.5))
    out: Planes = kept + np.float32(decoder.gain) * strength * texture
    if family.sharpen:
        out = unsharp(out, 0.9, family.sharpen)
    if family.grain:
        out = out + np.float32(family.grain) * rng.standard_normal(out.shape[1:], dtype=np.float32)
    if family.s_curve:
        out = out + np.float32(family.s_curve) * out * (1 - out) * (2 * out - 1)
    return out
