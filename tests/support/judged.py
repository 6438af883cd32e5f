"""A small manifest with every split that a report card reads, and a checkpoint to judge it with: seconds instead of minutes."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from model.checkpoint import save
from model.checkpoint_meta import CheckpointMeta, Kind
from model.config import Backbone, EnsembleConfig
from model.network import build
from training.manifest import Manifest, Row

CLASSES = ("real", "dalle3", "flux")
COUNTS = {"train": 12, "calibration": 20, "test": 8, "later": 4}


def picture(label: str, number: int) -> np.ndarray:
    """Noise for `real`, noise in blocks of two or three pixels for generators."""
    block = {"real": 1, "dalle3": 2, "flux": 3, "other_ai": 4}[label]
    rng = np.random.default_rng([number, block])
    small = rng.integers(0, 256, (-(-228 // block), -(-236 // block), 3), dtype=np.uint8)
    return np.repeat(np.repeat(small, block, 0), block, 1)[:228, :236]


def write_judged(folder: Path) -> Manifest:
    """Write all splits; the images of one number in a split are one group. `unseen_generator` holds `other_ai` and photographs."""
    rows = []
    wanted = [(split, label, count) for split, count in COUNTS.items() for label in CLASSES]
    wanted += [("unseen_generator", "other_ai", 6), ("unseen_generator", "real", 3)]
    for split, label, count in wanted:
        (folder / split / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            file = f"{split}/{label}/{number}.png"
            Image.fromarray(picture(label, 1000 * [*COUNTS, "unseen_generator"].index(split) + number)).save(
                folder / file
            )
            rows.append(Row(file=file, label=label, group=f"{split}-{number}", source="noise", split=split))
    return Manifest(folder, tuple(rows))


def write_checkpoint(path: Path, classes: tuple[str, ...] = CLASSES, *, kind: Kind = "trained") -> str:
    """Write an untrained network of the smallest sizes, one crop an image; returns its hash."""
    config = EnsembleConfig(
        classes=classes,
        cnn=Backbone(name="test_efficientnet"),
        vit=Backbone(name="test_vit", kwargs={"img_size": 224}),
        hidden=(32, 16),
    )
    torch.manual_seed(3)
    network = build(config)
    with torch.no_grad():
        network.head[-1].weight *= 40  # or every probability would be a third
    meta = CheckpointMeta(
        version="small-1",
        kind=kind,
        config=config,
        preprocess_id="crops1-224-native-v1",
        training_data="simulated-v2" if kind == "demo_simulated" else "noise",
    )
    return save(path, network, meta)
