"""What every branch says of many images: logits, kept raw, so that temperatures can be fitted and applied afterwards."""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import Temperatures
from model.network import Ensemble
from model.open_set import OpenSet
from model.policy import PixelPolicy
from schemas.errors import UsageError
from schemas.verdict import REAL
from training.corpus.build import Map
from training.metrics import Bools, Floats, Ints
from training.served import UNKNOWN, Image, Refused, Seen, served

BRANCHES = ("fused", "cnn", "vit", "fft")
BATCH_SIZE = 2  # images: larger ones only make torch ask for fresh memory (25 took twice as long on CPU)
_SHOWN = 5

Features = NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)
Advance = Callable[[int], None]  # called with the number of images done since the last call


@dataclass(frozen=True, slots=True)
class Rows:
    """Logits [rows, n] of one branch, one row a crop or an image."""

    logits: Floats
    image_of: Ints

    def probs(self, temperature: float = 1.0, shift: Floats | float = 0.0) -> Floats:
        """Probabilities [images, n]: softmax of each row, then the mean over an image's rows, as serving does it."""
        scaled = self.logits / temperature + shift
        scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return self.mean(scaled / scaled.sum(axis=1, keepdims=True))

    def energy(self) -> Floats:
        """Mean over an image's rows of the negative log of the summed exponents; higher is less known (Liu et al. 2020)."""
        top = self.logits.max(axis=1)
        return self.mean(-(top + np.log(np.exp(self.logits - top[:, None]).sum(axis=1))))

    def mean(self, rows: Floats) -> Floats:
        """Mean over the rows of each image of something that each row has one of, or one vector of."""
        total = np.zeros((int(self.image_of.max()) + 1, *rows.shape[1:]))
        np.add.at(total, self.image_of, rows)
        return np.asarray(total / np.bincount(self.image_of).reshape(-1, *[1] * (rows.ndim - 1)))


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network says of a set of images under one condition. Row i of everything is `images[i]`."""

    classes: tuple[str, ...]
    condition: str
    images: tuple[Image, ...]  # that were judged
    refused: tuple[tuple[str, str], ...]  # name and error code of those that the pixel policy rejects
    branches: dict[str, Rows]
    novelty: Floats | None = None  # [images], mean over crops as serving takes it; None without an open set
    joint: Features | None = None  # [crops, D] what enters the head, where it was asked for

    @property
    def labels(self) -> Ints:
        """Return the number of each image's class; UNKNOWN where the network was not taught it."""
        return np.array([image.label for image in self.images], dtype=np.int64)

    @property
    def units(self) -> NDArray[np.str_]:
        """Return the unit of each image: what hangs together, and is drawn together."""
        return np.array([image.unit for image in self.images], dtype=np.str_)

    @property
    def is_ai(self) -> Bools:
        """Whether each image is anything but `real`."""
        return np.asarray(self.labels != self.classes.index(REAL))

    def probs(self, temperatures: Temperatures, branch: str = "fused") -> Floats:
        """Calibrated probabilities [images, n] of one branch."""
        shift = np.array([temperatures.real_logit_shift * (name == REAL) for name in self.classes])
        return self.branches[branch].probs(getattr(temperatures, branch), shift if branch == "fused" else 0.0)

    def where(self, keep: Bools) -> "Answers":
        """Return the answers to some of the images."""
        chosen = np.flatnonzero(keep)
        crops = np.isin(self.branches["fused"].image_of, chosen)
        return replace(
            self,
            images=tuple(self.images[i] for i in chosen),
            branches={name: _rows_of(rows, keep) for name, rows in self.branches.items()},
            novelty=None if self.novelty is None else self.novelty[chosen],
            joint=None if self.joint is None else self.joint[crops],
        )

    def where_named(self, names: AbstractSet[str]) -> "Answers":
        """Return the answers to the images with these names, in their order."""
        return self.where(np.array([image.name in names for image in self.images]))

    def known(self) -> "Answers":
        """Return the answers to images of classes that the network was taught."""
        return self.where(self.labels != UNKNOWN)


@torch.inference_mode()
def judge(
    network: Ensemble,
    shown: Iterable[tuple[Image, Seen | Refused]],
    condition: str,
    *,
    open_set: OpenSet | None = None,
    keep_joint: bool = False,
    advance: Advance = lambda _: None,
) -> Answers:
    """Judge images by the pixels that serving would see, on the CPU, in float32.

    Images that the pixel policy rejects are listed, not judged. Raises `UsageError` where none is left.
    """
    network.eval()
    pieces: list[_Piece] = []
    judged: list[Image] = []
    refused: list[tuple[str, str]] = []
    stream = iter(shown)
    while chunk := list(islice(stream, BATCH_SIZE)):
        seen = [(image, pixels) for image, pixels in chunk if isinstance(pixels, Seen)]
        refused += [(image.name, pixels.code) for image, pixels in chunk if isinstance(pixels, Refused)]
        if seen:
            pieces.append(_judge([pixels for _, pixels in seen], network, open_set, len(judged), keep_joint=keep_joint))
            judged += [image for image, _ in seen]
        advance(len(chunk))
    if not pieces:
        raise UsageError(
            f"none of {len(refused)} images can be judged",
            why="; ".join(f"{name}: {code}" for name, code in refused[:_SHOWN]) or "there are none",
            remedy="Check the files and the manifest.",
        )
    return Answers(
        classes=network.config.classes,
        condition=condition,
        images=tuple(judged),
        refused=tuple(refused),
        branches={
            name: Rows(
                np.concatenate([piece.branches[name].logits for piece in pieces]),
                np.concatenate([piece.branches[name].image_of for piece in pieces]),
            )
            for name in BRANCHES
        },
        novelty=_joined([piece.novelty for piece in pieces]),
        joint=_joined([piece.joint for piece in pieces]),
    )


def answers(
    network: Ensemble,
    images: Sequence[Image],
    condition: str,
    ordered_map: Map,
    *,
    seed: int,
    policy: PixelPolicy,
    open_set: OpenSet | None = None,
    keep_joint: bool = False,
    advance: Advance = lambda _: None,
) -> Answers:
    """Judge images as they arrive under a condition; raises as `judge` and `served` do."""
    shown = zip(images, served(images, condition, ordered_map, seed=seed, policy=policy), strict=True)
    return judge(network, shown, condition, open_set=open_set, keep_joint=keep_joint, advance=advance)


@dataclass(frozen=True, slots=True)
class _Piece:
    """The answers to one batch."""

    branches: dict[str, Rows]
    novelty: Floats | None
    joint: Features | None


def _judge(
    seen: Sequence[Seen], network: Ensemble, open_set: OpenSet | None, first: int, *, keep_joint: bool
) -> _Piece:
    counts = np.array([len(pixels.crops) for pixels in seen])
    per_image = np.arange(len(seen))
    image_of = np.repeat(per_image, counts)
    scores = network(
        torch.from_numpy(np.concatenate([pixels.crops for pixels in seen])),
        torch.from_numpy(np.stack([pixels.view for pixels in seen])),
        torch.from_numpy(image_of),
    )
    branches = {
        name: Rows(_double(getattr(scores, name)), per_image if name == "vit" else image_of) for name in BRANCHES
    }
    novelty = branches["fused"].mean(_double(open_set.score(scores.fused))) if open_set else None
    return _Piece(
        {name: Rows(rows.logits, rows.image_of + first) for name, rows in branches.items()},
        novelty,
        scores.joint.numpy() if keep_joint else None,
    )


def _double(tensor: Tensor) -> Floats:
    return np.asarray(tensor.double().numpy())


def _rows_of(rows: Rows, keep: Bools) -> Rows:
    """Return the rows of some of the images, numbered anew."""
    chosen = keep[rows.image_of]
    number = np.cumsum(keep) - 1
    return Rows(rows.logits[chosen], number[rows.image_of[chosen]])


def _joined(parts: Sequence[NDArray[Number] | None]) -> NDArray[Number] | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if len(there) == len(parts) else None
