"""Batches of tensors from corpus files."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from model.policy import PixelPolicy
from training.corpus.build import Map
from training.items import Item
from training.params import AugmentParams
from training.shots import Draw, Shot, training_shot, validation_shot

Part = TypeVar("Part")


class Batch(NamedTuple):
    """B images with N crops in all; `image_of` [N] is each crop's image."""

    crops: Tensor
    views: Tensor
    image_of: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the same on another device."""
        return Batch(
            crops=self.crops.to(device, non_blocking=True),
            views=self.views.to(device, non_blocking=True),
            image_of=self.image_of.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
        )


def collate(shots: Sequence[Shot]) -> Batch:
    """Stack shots whose numbers of crops may differ."""
    counts = torch.tensor([len(shot.crops) for shot in shots])
    return Batch(
        crops=torch.from_numpy(np.concatenate([shot.crops for shot in shots])),
        views=torch.from_numpy(np.stack([shot.view for shot in shots])),
        image_of=torch.arange(len(shots)).repeat_interleave(counts),
        labels=torch.tensor([shot.label for shot in shots]),
    )


def training_batches(
    draws: Sequence[Draw],
    ordered_map: Map,
    *,
    seed: int,
    epoch: int,
    batch_size: int,
    augment: AugmentParams,
    policy: PixelPolicy,
) -> Iterator[Batch]:
    """Yield the draws in order; a last batch that is not full is dropped, for its statistics would be poor."""
    prepare = partial(training_shot, seed=seed, epoch=epoch, augment=augment, policy=policy)
    return (collate(c) for c in _chunks(ordered_map(prepare, draws), batch_size) if len(c) == batch_size)


def validation_batches(
    items: Iterable[Item], ordered_map: Map, *, seed: int, batch_size: int, augment: AugmentParams, policy: PixelPolicy
) -> Iterator[Batch]:
    """Yield all images in order, the same pixels every time."""
    prepare = partial(validation_shot, seed=seed, augment=augment, policy=policy)
    return (collate(chunk) for chunk in _chunks(ordered_map(prepare, items), batch_size))


def _chunks(items: Iterable[Part], size: int) -> Iterator[list[Part]]:
    chunk: list[Part] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
