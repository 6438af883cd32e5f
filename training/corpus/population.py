"""Where photographs come from: the cameras of a population, their files, and the scenes they are pointed at.

Training knows one population; another one is held out as the source that nobody has seen.
"""

from dataclasses import dataclass
from typing import Final

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Population:
    """Ranges that cameras and scenes are drawn from, the same for all classes."""

    name: str  # the manifest's `source`
    makers: range = range(8)  # numbers of the imagined makers, whose quantisation tables differ
    psf_sigma_px: Range = (0.7, 1.3)
    log10_electrons: Range = (2.3, 3.7)  # at white: from a dim room to a bright day
    malvar: float = 0.6  # share of cameras with the better demosaicing
    denoise: Range = (0, 0.5)
    sharpen: Range = (0.1, 0.7)
    saturation: Range = (0.1, 0.35)
    leaves: tuple[int, int] = (25, 91)  # occluding shapes of a scene
    sky: float = 0.25  # share of scenes with a sky, and so on
    bokeh: float = 0.2
    line_grid: float = 0.4
    lettering: float = 0.5


HOME: Final = Population("simulated-v2")
ELSEWHERE: Final = Population(
    "simulated-v2-elsewhere",
    makers=range(8, 12),
    psf_sigma_px=(0.5, 1.0),
    log10_electrons=(2.0, 3.2),
    malvar=0.9,
    denoise=(0.3, 0.9),
    sharpen=(0.4, 1.1),
    saturation=(0.3, 0.6),
    leaves=(8, 40),
    sky=0.6,
    bokeh=0.5,
    line_grid=0.15,
    lettering=0.2,
)
