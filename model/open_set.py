"""How unlike everything it was taught an image looks to the network, by the density of what the training images looked like.

Maximum probability is no open-set score: a softmax must share 1 among the classes it has, and a generator whose traces are a known
one's, only stronger, gets the surest answers of all. So the logits that enter the softmax are held against where the training images of
each class lay: one Gaussian with a covariance of its own for each class and condition (Mukhoti et al. 2023, "Deep Deterministic
Uncertainty", who do it in feature space), and the score is the negative log of their mixture.

Chosen on the simulated corpus with each of the four generators left out of a full training in turn, 300 test images clean and 300
laundered (2026-11-25): mean AUROC of unknown against known .718, least .535; maximum probability .662 and .398. Tried and left: Mahalanobis
distance in the features that enter the head (about .5, two of the four), in those that enter the last layer (.635) and relative to the whole (Ren et al.
2021; .678), energy (.653), nearest neighbours in the last layer's features by angle (.680) and by distance (.705). A generator of another
build (`other_ai`) is told far better: .951 clean and .858 laundered, where maximum probability has .718 and .570. AUROC is not a rejection
rate: where 5 % of the known are rejected, so are 3 to 15 % of the former unknown and about half of the latter.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from model.embedding import BYTES

PREFIX: Final = "open_set."
METHOD: Final = "logit_density"

_SCORING: Final = ("means", "whitening", "offsets")
_PLACING: Final = ("middle", "axes")


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """What an image's place among the unknown is measured from: see `model.embedding`."""

    middle: Tensor  # [H] float32: mean of the training images' features
    axes: Tensor  # [H, 32] float32: whitening and projection in one

    def place(self, hidden: Tensor) -> Tensor:
        """Return the place [N, 32] of features [N, H], its direction being what counts."""
        return (hidden.float() - self.middle) @ self.axes


@dataclass(frozen=True, slots=True, eq=False)
class OpenSet:
    """A mixture of m Gaussians over the n logits; fitted by `training.open_set`, stored in the checkpoint beside the weights.

    Gaussian i is of class i mod n. Without `landmarks` (checkpoints that were calibrated before there were any) an image is novel and has no place.
    """

    means: Tensor  # [m, n] float32
    whitening: Tensor  # [m, n, n] float32: (x - mean) @ whitening has unit covariance
    offsets: Tensor  # [m] float32: log of the weight and of the Gaussian's constant
    landmarks: Landmarks | None = None

    def score(self, logits: Tensor) -> Tensor:
        """Return the negative log density [N] of raw logits [N, n], before temperature and shift; higher is less known."""
        return -torch.logsumexp(self._densities(logits), dim=1)

    def by_class(self, logits: Tensor) -> Tensor:
        """Return the log density [N, n] that the Gaussians of each class give; the class with the highest is the nearest."""
        found = self._densities(logits)  # [N, m]
        return torch.logsumexp(found.reshape(len(found), -1, logits.shape[1]), dim=1)

    def to(self, device: torch.device) -> "OpenSet":
        """Return the same on another device."""
        return _assembled({name: tensor.to(device) for name, tensor in self.tensors().items()})

    def fits(self, classes: int, hidden: int) -> bool:
        """Say whether this can score the logits of so many classes, and place so many features: shapes, types, and only finite values."""
        count = self.means.shape[0] if self.means.dim() else 0
        shapes = (count, classes), (count, classes, classes), (count,), (hidden,), (hidden, BYTES)
        return (
            count > 0
            and count % classes == 0
            and all(
                tensor.shape == shape and tensor.dtype == torch.float32 and bool(torch.isfinite(tensor).all())
                for tensor, shape in zip(self.tensors().values(), shapes, strict=False)
            )
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return what the checkpoint keeps, by name."""
        found = [self.means, self.whitening, self.offsets]
        if self.landmarks:
            found += [self.landmarks.middle, self.landmarks.axes]
        return {f"{PREFIX}{name}": tensor for name, tensor in zip((*_SCORING, *_PLACING), found, strict=False)}

    @staticmethod
    def from_tensors(tensors: dict[str, Tensor]) -> "OpenSet | None":
        """Return the open set of a checkpoint's tensors, or None where one of its tensors is missing."""
        there = {name for name in (*_SCORING, *_PLACING) if f"{PREFIX}{name}" in tensors}
        whole = there in ({*_SCORING}, {*_SCORING, *_PLACING})
        return _assembled(tensors) if whole else None

    def _densities(self, logits: Tensor) -> Tensor:
        """Log of weight and density [N, m] of each Gaussian."""
        apart = logits.float()[:, None] - self.means  # [N, m, n]
        squared = torch.einsum("bmn,mnk->bmk", apart, self.whitening).square().sum(2)
        return self.offsets - squared / 2


def _assembled(tensors: dict[str, Tensor]) -> OpenSet:
    means, whitening, offsets = (tensors[f"{PREFIX}{name}"] for name in _SCORING)
    middle, axes = (tensors.get(f"{PREFIX}{name}") for name in _PLACING)
    return OpenSet(means, whitening, offsets, None if middle is None or axes is None else Landmarks(middle, axes))


def constant(log_determinant: float, classes: int, weight: float) -> float:
    """Return the offset of a Gaussian over `classes` logits with that log determinant of its covariance and that weight."""
    return math.log(weight) - (log_determinant + classes * math.log(2 * math.pi)) / 2
