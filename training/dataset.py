"""Batches of tensors from corpus files."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from model.policy import PixelPolicy
from training.corpus.build import Example, Map
from training.corpus.seeds import stream
from training.shots import Shot, served_shot, training_shot

Item = TypeVar("Item")


class Batch(NamedTuple):
    """B images with N crops in all; `image_of` [N] is each crop's image."""

    crops: Tensor
    views: Tensor
    image_of: Tensor
    labels: Tensor
    groups: tuple[int, ...]


def collate(shots: Sequence[Shot]) -> Batch:
    """Stack shots whose numbers of crops may differ."""
    counts = torch.tensor([len(shot.crops) for shot in shots])
    return Batch(
        crops=torch.from_numpy(np.concatenate([shot.crops for shot in shots])),
        views=torch.from_numpy(np.stack([shot.view for shot in shots])),
        image_of=torch.arange(len(shots)).repeat_interleave(counts),
        labels=torch.tensor([shot.label for shot in shots]),
        groups=tuple(shot.group for shot in shots),
    )


def training_batches(
    examples: Sequence[Example],
    ordered_map: Map,
    *,
    seed: int,
    epoch: int,
    batch_size: int,
    launder_share: float,
    policy: PixelPolicy,
) -> Iterator[Batch]:
    """Yield one epoch in random order; a last batch that is not full is dropped, for its statistics would be poor."""
    order = stream(seed, "order", epoch).permutation(len(examples))
    prepare = partial(training_shot, seed=seed, epoch=epoch, launder_share=launder_share, policy=policy)
    shots = ordered_map(prepare, (examples[i] for i in order))
    return (collate(chunk) for chunk in _chunks(shots, batch_size) if len(chunk) == batch_size)


def served_batches(
    examples: Iterable[Example], ordered_map: Map, *, seed: int, condition: str, batch_size: int, policy: PixelPolicy
) -> Iterator[Batch]:
    """Yield all examples in order, as serving would see them."""
    prepare = partial(served_shot, seed=seed, condition=condition, policy=policy)
    return (collate(chunk) for chunk in _chunks(ordered_map(prepare, examples), batch_size))


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
