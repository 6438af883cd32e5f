"""Which scenes, decoders and cameras a split of the simulated corpus is made of: no two splits share a scene."""

from dataclasses import dataclass
from typing import Final

from training.corpus.families import LATER, TRAINED, UNSEEN
from training.corpus.population import ELSEWHERE, HOME, Population

SCENES_A_SPLIT: Final = 100_000
SAMPLES: Final = 1_000_000  # scenes from here on are in no split: examples for demos


@dataclass(frozen=True, slots=True)
class Origin:
    """What the images of a split come from. More scenes of one split never change another split, nor the scenes before them."""

    first_scene: int
    checkpoints: range = TRAINED
    later: bool = False  # the families' next versions
    population: Population = HOME


ORIGINS: Final = {
    "train": Origin(0),
    "calibration": Origin(SCENES_A_SPLIT),
    "test": Origin(2 * SCENES_A_SPLIT),
    "unseen_checkpoint": Origin(3 * SCENES_A_SPLIT, checkpoints=UNSEEN),
    "unseen_generator": Origin(4 * SCENES_A_SPLIT),
    "later": Origin(5 * SCENES_A_SPLIT, checkpoints=LATER, later=True),
    "unseen_source": Origin(6 * SCENES_A_SPLIT, population=ELSEWHERE),
}
