import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from model.checkpoint_meta import CheckpointMeta
from model.config import Backbone, EnsembleConfig
from model.network import Ensemble, build

torch.set_num_threads(1)  # test runs share small machines; spinning threads make each other slow


@pytest.fixture(scope="session")
def tiny_config() -> EnsembleConfig:
    """The families of the real ensemble, small enough for a unit test."""
    return EnsembleConfig(
        classes=("dalle3", "flux", "real"),
        cnn=Backbone(name="tinynet_e"),
        vit=Backbone(name="vit_tiny_patch16_224", kwargs={"depth": 2, "embed_dim": 48, "num_heads": 3}),
    )


@pytest.fixture(scope="session")
def tiny_network(tiny_config: EnsembleConfig) -> Ensemble:
    """A seeded network whose last layer is loud, so that its answers differ from image to image."""
    torch.manual_seed(7)
    network = build(tiny_config)
    with torch.no_grad():
        network.head[-1].weight.mul_(40)
        for member in network.members.values():
            member.weight.mul_(40)
    return network


@pytest.fixture(scope="session")
def tiny_meta(tiny_config: EnsembleConfig) -> CheckpointMeta:
    return CheckpointMeta(
        version="test-1",
        kind="trained",
        config=tiny_config,
        preprocess_id="crops5-224-native-v1",
        training_data="nothing: random weights",
    )


@pytest.fixture(scope="session")
def photo() -> Callable[[int, int], Image.Image]:
    """Make a smooth picture with some texture, the same for the same size."""

    def make(width: int, height: int) -> Image.Image:
        x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
        noise = np.random.default_rng(width * 10_000 + height).normal(0, 4, (height, width))
        bands = [x * 200 + 20, y * 200 + 20, (x + y) * 90 + 30]
        return Image.fromarray(np.stack([band + noise for band in bands], -1).clip(0, 255).astype(np.uint8))

    return make


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    def save(image: Image.Image, kind: str, **options: object) -> bytes:
        target = io.BytesIO()
        image.save(target, kind, **options)
        return target.getvalue()

    return save
