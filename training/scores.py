"""Logits of many images, kept raw, so that temperatures can be fitted and applied afterwards."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from model.network import Ensemble
from training.dataset import Batch
from training.metrics import Floats, Ints

BRANCHES = ("fused", "cnn", "vit", "fft")


@dataclass(frozen=True, slots=True)
class Rows:
    """Logits [rows, n] of one branch, one row a crop or an image."""

    logits: Floats
    image_of: Ints

    def probs(self, temperature: float = 1.0) -> Floats:
        """Probabilities [images, n]: softmax of each row, then the mean over an image's rows, as serving does it."""
        scaled = self.logits / temperature
        scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        rows = scaled / scaled.sum(axis=1, keepdims=True)
        total = np.zeros((int(self.image_of.max()) + 1, rows.shape[1]))
        np.add.at(total, self.image_of, rows)
        return total / np.bincount(self.image_of)[:, None]


@dataclass(frozen=True, slots=True)
class Scored:
    """What every branch says of a set of images."""

    branches: dict[str, Rows]
    labels: Ints
    groups: Ints


@torch.inference_mode()
def score(network: Ensemble, batches: Iterable[Batch]) -> Scored:
    """Run the network in eval mode over all batches."""
    network.eval()
    logits: dict[str, list[Floats]] = {branch: [] for branch in BRANCHES}
    crop_of: list[Ints] = []
    labels: list[Ints] = []
    groups: list[int] = []
    for batch in batches:
        out = network(batch.crops, batch.views, batch.image_of)
        for branch in BRANCHES:
            logits[branch].append(getattr(out, branch).double().numpy())
        crop_of.append(batch.image_of.numpy() + len(groups))
        labels.append(batch.labels.numpy())
        groups.extend(batch.groups)
    crop_rows, image_rows = np.concatenate(crop_of), np.arange(len(groups))
    return Scored(
        branches={
            branch: Rows(np.concatenate(parts), image_rows if branch == "vit" else crop_rows)
            for branch, parts in logits.items()
        },
        labels=np.concatenate(labels),
        groups=np.array(groups),
    )
