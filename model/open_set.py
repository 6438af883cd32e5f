"""How far an image lies from every class the model knows, in the space of the features that enter the head.

Maximum probability is no open-set score: a softmax must share 1 among the classes it has (on the simulated corpus its AUROC for an
unknown generator is .25 to .72). The distance to the nearest class mean under a shared covariance is one (Lee et al. 2018).
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

PREFIX: Final = "open_set."
METHOD: Final = "mahalanobis"


@dataclass(frozen=True, slots=True, eq=False)
class OpenSet:
    """Class means in a whitened space; fitted by `training.open_set`, stored in the checkpoint beside the weights."""

    projection: Tensor  # [D, d] float32, whitening
    means: Tensor  # [n, d] float32, of each class, projected

    def score(self, features: Tensor) -> Tensor:
        """Return the distance of each row [N, D] to the nearest class mean [N]; higher is less known."""
        projected = features.float() @ self.projection
        return torch.cdist(projected, self.means).amin(1)

    def to(self, device: torch.device) -> "OpenSet":
        """Return the same on another device."""
        return OpenSet(self.projection.to(device), self.means.to(device))

    def tensors(self) -> dict[str, Tensor]:
        """Return what the checkpoint keeps, by name."""
        return {f"{PREFIX}projection": self.projection, f"{PREFIX}means": self.means}

    @staticmethod
    def from_tensors(tensors: dict[str, Tensor]) -> "OpenSet | None":
        """Return the open set of a checkpoint's tensors, or None where it has none."""
        if f"{PREFIX}means" not in tensors:
            return None
        return OpenSet(tensors[f"{PREFIX}projection"], tensors[f"{PREFIX}means"])
