"""Classes of unequal size: each gets an equal say, by how often its images are drawn or by how much an error on them weighs."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from training.corpus.seeds import stream

Balance = Literal["weights", "sampler", "none"]


def order(labels: Sequence[int], *, balance: Balance, seed: int, epoch: int) -> list[tuple[int, int]]:
    """Return one epoch: (index of the image, how often it came before in this epoch), as many as there are images.

    Without a sampler each image comes once. The sampler draws the same number from each class: a small class several times over, each time
    whole before any repeats; a large one in part, another part each epoch. The shares are equal to within an image.
    """
    rng = stream(seed, "order", epoch)
    if balance != "sampler":
        return [(int(index), 0) for index in rng.permutation(len(labels))]
    classes = sorted(set(labels))
    share = -(-len(labels) // len(classes))
    drawn: list[tuple[int, int]] = []
    for name in classes:
        members = np.flatnonzero(np.asarray(labels) == name)
        rounds = -(-share // len(members))
        drawn += [(int(index), again) for again in range(rounds) for index in rng.permutation(members)][:share]
    return [drawn[place] for place in rng.permutation(len(drawn))[: len(labels)]]


def weights(labels: Sequence[int], classes: int, *, balance: Balance) -> list[float] | None:
    """Return the weight of each class's loss, inverse to its size and with mean 1 over the images; None unless asked for.

    A class without images weighs 1: nothing is ever said of it.
    """
    if balance != "weights":
        return None
    counts = Counter(labels)
    present = len(counts)
    return [len(labels) / (present * counts[name]) if counts[name] else 1.0 for name in range(classes)]
