"""The network that users train, not a small stand-in: one step of every phase on this machine's CPU."""

import pytest
import torch
from support.tiny_training import write_pictures

from training.fit import fit
from training.items import training_set
from training.params import AugmentParams, ModelParams, Params, TrainParams
from training.phases import learning
from training.start import config_of, new_network
from training.watch import Quiet

pytestmark = [pytest.mark.integration, pytest.mark.slow]


class Changes(Quiet):
    """Notes at the end of each epoch which parameters changed in it."""

    def __init__(self, network):
        self.network = network
        self.before = self.copy()
        self.changed = {}

    def copy(self):
        return {name: value.detach().clone() for name, value in self.network.named_parameters()}

    def epoch_ends(self, epoch):
        after = self.copy()
        self.changed[epoch.phase] = {name for name, value in after.items() if not torch.equal(value, self.before[name])}
        self.before = after


def test_the_full_ensemble_trains_a_step_of_every_phase(tmp_path):
    """EfficientNet-B0, ViT-Small/16 and the FFT branch: each phase of the default recipe changes its parameters and no others."""
    manifest = write_pictures(tmp_path, {"real": 1, "flux": 1})
    model, defaults = ModelParams(), TrainParams()
    phases = tuple(phase.model_copy(update={"epochs": 1}) for phase in defaults.phases)
    loop = TrainParams(phases=phases, batch_size=2, validation_share=0.0, ema_decay=0.0, warmup_share=0.0, device="cpu")
    params = Params(model=model, train=loop, augment=AugmentParams(launder_share=0.0))
    data = training_set(manifest, manifest.classes, map, validation_share=0.0, seed=7, warn=pytest.fail)
    network = new_network(config_of(model, manifest.classes), model, seed=7)
    watch = Changes(network)
    history = fit(network, data, params, map, watch=watch).history
    assert [epoch.phase for epoch in history] == ["head", "top", "all"]
    assert sum(network.widths.values()) == 1728
    for phase in phases:
        assert watch.changed[phase.name] == learning(network, phase.layers), phase.name
