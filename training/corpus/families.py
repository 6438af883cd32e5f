"""The numbers that set simulated generators apart, and how they drift from version to version."""

from dataclasses import dataclass, replace
from typing import Final, Literal

Upsampling = Literal["nearest", "bilinear", "transposed"]
EIGHTFOLD: Final = 3  # doublings of a decoder whose latent is at an eighth of the size

# Numbers of the decoder checkpoints: a split draws from one range, so no checkpoint is ever in two ranges.
TRAINED: Final = range(12)
UNSEEN: Final = range(12, 72)
LATER: Final = range(100, 124)


@dataclass(frozen=True, slots=True)
class Family:
    """What all checkpoints of one simulated generator share."""

    name: str
    upsampling: tuple[Upsampling, ...]  # one a doubling, from the latent up
    bottleneck_sigma_px: float  # detail finer than this is lost
    gain: float  # how strongly lost detail is replaced by invented texture
    latent_step: float
    sharpen: float = 0.0
    grain: float = 0.0
    s_curve: float = 0.0

    @property
    def stride(self) -> int:
        """Pixels a side for each element of the latent."""
        return int(2 ** len(self.upsampling))

    def later(self) -> "Family":
        """The next version of the same architecture: it loses less, invents more faintly, and is finished a little otherwise."""
        return replace(
            self,
            bottleneck_sigma_px=0.85 * self.bottleneck_sigma_px,
            gain=0.8 * self.gain,
            latent_step=self.latent_step / 2,
            sharpen=0.8 * self.sharpen,
            s_curve=0.7 * self.s_curve,
        )


def _family(
    name: str,
    upsampling: Upsampling,
    bottleneck_sigma_px: float,
    gain: float,
    latent_step: float,
    *,
    sharpen: float = 0.0,
    grain: float = 0.0,
    s_curve: float = 0.0,
) -> Family:
    stages = (upsampling,) * EIGHTFOLD
    return Family(name, stages, bottleneck_sigma_px, gain, latent_step, sharpen=sharpen, grain=grain, s_curve=s_curve)


FAMILIES: Final = {
    family.name: family
    for family in (
        _family("stable_diffusion", "nearest", 1.7, 0.020, 1 / 24),
        _family("midjourney", "bilinear", 1.45, 0.015, 1 / 32, sharpen=0.6, grain=0.008, s_curve=0.25),
        _family("dalle3", "transposed", 1.5, 0.015, 1 / 32, sharpen=0.5),
        _family("flux", "nearest", 1.3, 0.013, 1 / 64),
    )
}

# None of the four is built like these: one is held out as a generator that nobody knows, or trained as a sixth class.
FURTHER_FAMILIES: Final = {
    family.name: family
    for family in (
        Family(  # stride 16: a transposed convolution first, then repetition
            "other_ai",
            ("transposed", "transposed", "nearest", "bilinear"),
            bottleneck_sigma_px=1.6,
            gain=0.017,
            latent_step=1 / 48,
            sharpen=0.3,
        ),
        # no latent at an eighth, hence no grid of 8: pixels at half the size, doubled once
        Family("pixel_ai", ("bilinear",), bottleneck_sigma_px=1.4, gain=0.016, latent_step=1 / 255, grain=0.004),
    )
}
ALL_FAMILIES: Final = {**FAMILIES, **FURTHER_FAMILIES}
