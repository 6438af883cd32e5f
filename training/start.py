"""What a training starts from: random weights, pretrained backbones, or a checkpoint, perhaps with classes added."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoint import Loaded, load
from model.config import EnsembleConfig
from model.network import Ensemble, build
from schemas.errors import CheckpointRefused
from schemas.verdict import REAL
from training.params import ModelParams


def config_of(model: ModelParams, classes: Sequence[str]) -> EnsembleConfig:
    """Return the network that the parameters and the manifest's classes ask for."""
    return EnsembleConfig(
        classes=tuple(classes),
        cnn=model.cnn,
        vit=model.vit,
        fft_features=model.fft_features,
        hidden=model.hidden,
        dropout=model.dropout,
    )


def new_network(config: EnsembleConfig, model: ModelParams, *, seed: int) -> Ensemble:
    """Return a network with weights drawn from `seed`, its backbones from where `model.pretrained` says.

    Raises `CheckpointRefused` for weights that do not fit.
    """
    torch.manual_seed(seed)
    network = build(config, pretrained=model.pretrained)
    if not (model.pretrained == "hub" or (model.pretrained and "cnn" in model.pretrained)):
        _start_on_residuals(network)
    return network


def network_of(path: Path, config: EnsembleConfig, preprocess_id: str) -> Loaded:
    """Load the checkpoint to go on from; raises `CheckpointRefused` where it is not of this shape, these classes and this pixel policy."""
    loaded = load(path, expected_preprocess_id=preprocess_id)
    found, wanted = loaded.meta.config.model_dump(), config.model_dump()
    # Dropout holds no weights, and may change.
    faults = [f"{k} {found[k]!r} and not {wanted[k]!r}" for k in wanted if k != "dropout" and found[k] != wanted[k]]
    if faults:
        raise CheckpointRefused(
            f"checkpoint {path} does not fit this training",
            why=f"it has {'; '.join(faults)}",
            remedy="Match `model` in the parameters and the classes of the manifest to it; `deeptrace finetune` adds classes.",
        )
    network = build(config)
    network.load_state_dict(loaded.network.state_dict())
    return loaded._replace(network=network)


def grown(network: Ensemble, added: Sequence[str], *, seed: int) -> Ensemble:
    """Return a network with classes added after the known ones; every old weight is kept, so the old classes' logits do not change.

    The row of a new class in the head and in each branch's classifier starts as the mean of the known generators' rows (of all rows, where
    only `real` is known) with a little noise: an unknown generator's image is more like a generator's than like a photograph, and the noise
    tells two new classes apart.
    """
    config = network.config.model_copy(update={"classes": (*network.config.classes, *added)})
    bigger = build(EnsembleConfig.model_validate(config.model_dump()))
    rows = [row for row, name in enumerate(network.config.classes) if name != REAL]
    generator = torch.Generator().manual_seed(seed)
    state = bigger.state_dict()
    for name, old in network.state_dict().items():
        if state[name].shape == old.shape:
            state[name] = old
            continue
        mean = old[rows].mean(0, keepdim=True) if rows else old.mean(0, keepdim=True)
        new = mean.repeat(len(added), *[1] * (old.ndim - 1))
        state[name] = torch.cat([old, new + _noise(new, old, generator)])
    bigger.load_state_dict(state)
    return bigger


def _noise(new: Tensor, old: Tensor, generator: torch.Generator) -> Tensor:
    """A tenth of the old rows' spread."""
    return torch.randn(new.shape, generator=generator) * old.std() * 0.1


def _start_on_residuals(network: Ensemble) -> None:
    """Give the CNN's first filters no response to flat areas.

    What decoders leave is a hundredth of the content's contrast, and random filters would see the content first.
    """
    stem = getattr(network.cnn.backbone, "conv_stem", None)
    if stem is not None:
        with torch.no_grad():
            stem.weight -= stem.weight.mean(dim=(2, 3), keepdim=True)
