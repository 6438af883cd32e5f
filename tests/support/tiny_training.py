"""Small labelled pictures and small networks, to train in seconds."""

from pathlib import Path

import numpy as np
from PIL import Image

from model.config import Backbone
from training.manifest import Manifest, Row
from training.params import AugmentParams, ModelParams, Params, Phase, TrackingParams, TrainParams

TINY_MODEL = ModelParams(
    cnn=Backbone(name="test_efficientnet"), vit=Backbone(name="test_vit", kwargs={"img_size": 224}), hidden=(32, 16)
)
ONE_PHASE = (Phase(name="all", layers="all", epochs=2, learning_rate=2e-3),)
THREE_PHASES = (
    Phase(name="head", layers="head", epochs=1, learning_rate=1e-3),
    Phase(name="top", layers="top", epochs=1, learning_rate=1e-3),
    Phase(name="all", layers="all", epochs=2, learning_rate=1e-3),
)


def picture(label: str, number: int) -> np.ndarray:
    """Noise as a photograph's grain; any other class doubles every pixel, as a decoder's upsampling does."""
    rng = np.random.default_rng([number, len(label)])
    if label == "real":
        return rng.integers(0, 256, (232, 240, 3), dtype=np.uint8)
    return np.repeat(np.repeat(rng.integers(0, 256, (116, 120, 3), dtype=np.uint8), 2, 0), 2, 1)


def write_pictures(folder: Path, counts: dict[str, int], split: str = "train") -> Manifest:
    """Write `counts[class]` pictures of each class; every picture is a group of its own, with the other classes' of its number."""
    rows = []
    for label, count in counts.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            file = f"{label}/{number}.png"
            Image.fromarray(picture(label, number)).save(folder / file)
            rows.append(Row(file=file, label=label, group=f"g{number}", split=split))
    return Manifest(folder, tuple(rows))


def tiny_params(phases: tuple[Phase, ...] = ONE_PHASE, **loop: object) -> Params:
    """A small network, no validation, nothing laundered, one process, the CPU."""
    loop = {"batch_size": 4, "validation_share": 0.0, "processes": 1, "device": "cpu", **loop}
    return Params(
        model=TINY_MODEL,
        train=TrainParams(phases=phases, **loop),  # type: ignore[arg-type]
        augment=AugmentParams(launder_share=0.0),
        tracking=TrackingParams(uri=None),
    )
