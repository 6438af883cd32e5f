"""Deletion faithfulness: does a heat map point at what the probability rests on, or could it as well have been drawn by chance?

One step of the deletion metric (Petsiuk et al. 2018, RISE), held against chance: the quarter of the cells that a map calls hottest is
removed, and so are four random sets of as many cells. The figure is by how much more the target's probability falls for the map's
cells than, on average, for the random ones: 0 for a map drawn by chance, at most 1.

Removed is not blackened: the cell takes the blurred content of its surroundings, which has no edge to trip over and none of the fine
traces that generators leave. Chosen on 60 simulated images against Gaussian blurs of 2, 4 and 8 px, the cell's mean and the crop's
mean: all tell the maps from chance alike (7 to 15 % of maps at or under random), random removal by itself moves the probability
by at most 0.002, and this one is the cheapest. The random sets are cut from one permutation, so that they do not overlap: where
cells act on their own, their mean is then nearly free of luck (a standard deviation of 0.0014 over seeds, against 0.0047 for four independent draws).
"""

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as nnf

from model.network import Ensemble

SHARE: Final = 4  # one in four cells is removed
RANDOM_SETS: Final = 4
_CPU_ROWS: Final = 1 + RANDOM_SETS
_BLUR_PX: Final = 32  # cell of the CNN's maps; a view is blurred as far

Removed = npt.NDArray[np.bool_]


def deletions(heat: npt.NDArray[np.floating], seed: bytes) -> Removed:
    """Return which cells to remove [1 + r, n] of a flat map [n]: first the map's choice, then random sets of as many, disjoint.

    A cell without heat is never the map's choice, so there may be fewer than a quarter; r is 4, or as many sets as there is room for.
    Equal seeds give equal sets. Raises ValueError for a map without any heat: it has made no choice.
    """
    places = len(heat)
    count = min(max(1, round(places / SHARE)), int((heat > 0).sum()))
    if count == 0:
        raise ValueError("the map has no heat")
    # Keys from SHAKE and not a random generator: the sets must be the same in every release of numpy.
    keys = np.frombuffer(hashlib.shake_256(seed).digest(8 * places), "<u8")
    shuffled = np.argsort(keys, kind="stable")
    sets = [np.argsort(-heat, kind="stable")[:count]]
    sets += [shuffled[start : start + count] for start in range(0, places - count + 1, count)][:RANDOM_SETS]
    removed = np.zeros((len(sets), places), np.bool_)
    for row, chosen in enumerate(sets):
        removed[row, chosen] = True
    return removed


def gain(probs: npt.NDArray[np.floating]) -> float:
    """Return how much lower the target's probability is after the map's deletion, `probs[0]`, than after the random ones on average.

    With six digits, as a verdict has it: what is shown as 0 counts as 0.
    """
    return round(float(probs[1:].mean() - probs[0]), 6) + 0.0  # no minus zero


def hottest_crop(cams: npt.NDArray[np.floating]) -> int:
    """Return the crop with the hottest place of the maps [k, h, w]; the first of equals."""
    return int(cams.max(axis=(1, 2)).argmax())


def seed_of(picture: npt.NDArray[np.uint8]) -> bytes:
    """Return the seed of a picture's random sets: the same pixels always get the same figure."""
    return hashlib.sha256(np.ascontiguousarray(picture).data).digest()


def blurred(pictures: Tensor) -> Tensor:
    """Return uint8 pictures [n, h, w, 3] as means of 32 x 32 pixels with smooth passages between them."""
    planes = pictures.permute(0, 3, 1, 2).float()
    coarse = nnf.avg_pool2d(planes, _BLUR_PX)
    grown = nnf.interpolate(coarse, size=planes.shape[2:], mode="bilinear", align_corners=False)
    return grown.permute(0, 2, 3, 1).round().to(torch.uint8)


def without(pictures: Tensor, removed: Tensor, picture_of: Tensor) -> Tensor:
    """Return variants [m, h, w, 3] of uint8 pictures [n, h, w, 3]: blurred where `removed` [m, rows, columns] (bool) holds.

    `picture_of` [m] says of which picture each is one.
    """
    cells = nnf.interpolate(removed[:, None].float(), size=pictures.shape[1:3], mode="nearest")
    return torch.where(cells.permute(0, 2, 3, 1) > 0, blurred(pictures)[picture_of], pictures[picture_of])


def cnn_logits(network: Ensemble, crops: Tensor, joint: Tensor) -> Tensor:
    """Return the ensemble's logits [n, classes] when the CNN sees `crops` and the other branches stay as they are in `joint` [n, D].

    Always float32: the differences looked for are smaller than what bfloat16 rounds away.
    """
    with torch.autocast(crops.device.type, enabled=False):
        # Few at once on a CPU: forty crops take half as long again as eight times five (their maps no longer fit into its cache).
        parts = torch.split(crops, len(crops) if crops.is_cuda else _CPU_ROWS)
        pooled = torch.cat(
            [network.cnn.backbone.forward_features(network.cnn.pixels(part)).float().mean((2, 3)) for part in parts]
        )
        logits: Tensor = network.head(torch.cat([pooled, joint[:, pooled.shape[1] :]], dim=1))
        return logits
