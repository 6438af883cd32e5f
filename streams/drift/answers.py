"""The answers of one model in a window: what the prevalence correction works on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Answers:
    """A sample of what one calibrated model said in a window; every image is in it at most once.

    `prior` is the share of each class that the probabilities are calibrated for, positive and summing to 1. `probs` is [n, classes] in the order of
    `classes`, `novel` is [n]. The order of the images means nothing. Raises `ValueError` where the shapes do not fit together.
    """

    classes: tuple[str, ...]
    prior: tuple[float, ...]
    calibration_id: str
    probs: NDArray[np.float64]
    novel: NDArray[np.bool_]

    def __post_init__(self) -> None:
        expected = (len(self.novel), len(self.classes))
        if self.probs.shape != expected or len(self.prior) != len(self.classes):
            raise ValueError(
                f"probs of shape {self.probs.shape}, prior of length {len(self.prior)}: expected {expected}"
            )

    def __len__(self) -> int:
        return len(self.novel)
