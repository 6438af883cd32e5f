"""The weights that are judged and saved: a moving average of those that learn, which is better than any of them."""

from typing import Final

import torch
from timm.utils import ModelEmaV3
from torch import Tensor

from model.network import Ensemble

_WARMUP_POWER: Final = 0.75  # timm's advice for short trainings: 0.97 after 100 steps, 0.999 after 10,000


class Average:
    """An exponential moving average (Polyak and Juditsky 1992) that starts as a plain mean; at decay 0 it is the network itself."""

    def __init__(self, network: Ensemble, decay: float) -> None:
        self._network = network
        self._ema = ModelEmaV3(network, decay, use_warmup=True, warmup_power=_WARMUP_POWER) if decay else None

    @property
    def network(self) -> Ensemble:
        """The averaged network."""
        averaged: Ensemble = self._network if self._ema is None else self._ema.module
        return averaged

    def update(self, step: int) -> None:
        """Take in the weights after step number `step` (from 1) of the whole training."""
        if self._ema is not None:
            self._ema.update(self._network, step)

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the averaged weights and buffers."""
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def restart(self, weights: dict[str, Tensor]) -> None:
        """Go on from `weights`, in the average and in the network that learns."""
        with torch.no_grad():
            self._network.load_state_dict(weights)
            self.network.load_state_dict(weights)
