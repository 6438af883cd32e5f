"""Checkpoints that a test makes in a second: the ensemble's shape, untrained, with answers loud enough to differ from each other's."""

from pathlib import Path

import torch

from model.checkpoint import save
from model.checkpoint_meta import CheckpointMeta
from model.config import Backbone, EnsembleConfig
from model.network import build

CLASSES = ("stable_diffusion", "midjourney", "dalle3", "flux", "real")
ONE_CROP = "crops1-224-native-v1"


def write_checkpoint(
    path: Path,
    *,
    seed: int,
    version: str,
    classes: tuple[str, ...] = CLASSES,
    preprocess_id: str = ONE_CROP,
    training_data: str = "nothing: random weights",
) -> str:
    """Write a checkpoint and return its SHA-256; another seed gives another model."""
    config = EnsembleConfig(
        classes=classes,
        cnn=Backbone(name="test_efficientnet"),
        vit=Backbone(name="test_vit", kwargs={"img_size": 224}),
        hidden=(32, 16),
    )
    torch.manual_seed(seed)
    network = build(config)
    with torch.no_grad():
        network.head[-1].weight.mul_(40)
    simulated = training_data.startswith("simulated")
    meta = CheckpointMeta(
        version=version,
        kind="demo_simulated" if simulated else "trained",
        config=config,
        preprocess_id=preprocess_id,
        training_data=training_data,
    )
    return save(path, network, meta)
