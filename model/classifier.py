"""What the pipeline asks of a model: pixels in, probabilities, members and heat maps out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.abstention import Abstention
from model.pixels import Pixels

Probs = npt.NDArray[np.float64]
Heat = npt.NDArray[np.float32]
Features = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a verdict says about the model that gave it."""

    version: str
    sha256: str
    calibration_id: str
    preprocess_id: str
    classes: tuple[str, ...]
    training_data: str
    kind: str  # demo_simulated | trained | fake
    abstention: Abstention | None = None
    prior: tuple[float, ...] | None = (
        None  # share of each class that the probabilities were calibrated for; None: unknown
    )


@dataclass(frozen=True, slots=True)
class Member:
    """One branch of the ensemble on its own."""

    name: str
    probs: Probs  # [n]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One image's answer: a mean of probabilities over its crops, and the heat of each crop where it was asked for.

    It says which model gave it: a classifier may be exchanged between two batches, and an answer goes by the rules of its own model.
    """

    probs: Probs  # [n], sums to 1
    model: ModelInfo
    members: tuple[Member, ...] = ()
    cams: Heat | None = None  # [k, 7, 7] in 0..1, for the crops in their order
    cam_class: str | None = None
    features: Features | None = (
        None  # [k, D] what entered the head, where `cams` are given: `faithfulness` starts from it
    )
    novelty: float | None = (
        None  # how unlike the known classes it looks, higher is less known; None where the checkpoint has no open set
    )
    nearest: str | None = None  # the class it is least unlike, where it is novel by the model's own rule
    place: Features | None = (
        None  # [32] its direction among the novel (`model.embedding`), where the model has landmarks
    )


class Classifier(Protocol):
    """Implementations are used from one thread; a prediction does not depend on who shares the batch."""

    @property
    def info(self) -> ModelInfo:
        """Say which model this is."""
        ...

    def predict(self, batch: Sequence[Pixels], *, explain: Sequence[bool]) -> list[Prediction]:
        """Return one prediction an image, in order; raises `BatchFailed` where a smaller batch may do, `DeviceLost` where none will."""
        ...

    def faithfulness(self, batch: Sequence[Pixels], predictions: Sequence[Prediction]) -> list[float | None]:
        """Return for each image how much better than chance its heat points at what the probability rests on (`model.faithfulness`).

        At most 1, at or under 0 for a map that does no better than a random one; None where there is no heat, where the prediction
        is another model's (a release was exchanged meanwhile), or where the implementation measures nothing. Raises as `predict` does.
        """
        ...
