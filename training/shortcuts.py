"""What tells a file's class without a look at its content, and how often: lookups that are judged on other groups' files only."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.corpus.seeds import stream

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NEIGHBOURS: Final = 15
LOOKUPS: Final = ("format", "size", "tables", "source")
FOLDS: Final = 10
SHUFFLES: Final = 999
ENOUGH: Final = 20  # shuffles that are guessed as well as the truth
_BLOCK: Final = 256  # rows of distances at once
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """All that a shortcut may look at."""

    format: str
    size: str
    tables: str  # hash of a JPEG's quantisation tables
    source: str
    colour: tuple[float, ...]  # mean and deviation of each channel
    length: int  # of the file in bytes

    @staticmethod
    def of(data: bytes, rgb: npt.NDArray[np.uint8], *, kind: str, source: str) -> "Fingerprint":
        """Take it from a file and its pixels [h, w, 3]."""
        height, width = rgb.shape[:2]
        flat = rgb.reshape(-1, 3)
        colour = (*flat.mean(axis=0).tolist(), *flat.std(axis=0).tolist())
        return Fingerprint(kind, f"{width}x{height}", _tables(data, kind), source, colour, len(data))


@dataclass(frozen=True, slots=True)
class Guesses:
    """How well one shortcut guesses."""

    accuracy: float  # balanced: the mean over classes, so chance is 1 / classes however unequal they are
    p_value: float  # share of shuffled labels that are guessed as well: luck


def try_shortcuts(
    prints: Sequence[Fingerprint],
    labels: Sequence[str],
    units: Sequence[str],
    *,
    seed: int = 0,
    shuffles: int = SHUFFLES,
) -> dict[str, Guesses]:
    """Try every shortcut, each time judging the files of a fold by those of the other folds; needs two classes."""
    truth = _Truth.of(labels, units, seed)
    neighbours = np.array([one.colour for one in prints]), np.log([[float(one.length)] for one in prints])
    rules: dict[str, _Rule] = {name: truth.lookup([getattr(one, name) for one in prints]) for name in LOOKUPS}
    rules |= {name: truth.nearest(it) for name, it in zip(("colour_contrast", "file_length"), neighbours, strict=True)}
    right = {name: truth.accuracy(rule, truth.labels) for name, rule in rules.items()}
    as_good = dict.fromkeys(rules, 1)
    tried = dict.fromkeys(rules, 1)
    for shuffled in truth.shuffles(shuffles, seed):
        # What luck has reached so often is luck; Besag and Clifford 1991 stop there, too.
        open_ones = [name for name in rules if as_good[name] < ENOUGH]
        for name in open_ones:
            tried[name] += 1
            as_good[name] += truth.accuracy(rules[name], shuffled) >= right[name] - _ROUNDING
        if not open_ones:
            break
    return {name: Guesses(right[name], as_good[name] / tried[name]) for name in rules}


_Rule = Callable[[Ints], Floats]  # labels [n] to votes [n, classes], each file's from other folds than its own


@dataclass(frozen=True, slots=True)
class _Truth:
    """Class, unit and fold of each file, numbered. A unit lies in one fold."""

    labels: Ints
    units: Ints
    folds: Ints
    classes: int

    @staticmethod
    def of(labels: Sequence[str], units: Sequence[str], seed: int) -> "_Truth":
        """Number what is given, and deal the units out into folds."""
        names, label = np.unique(labels, return_inverse=True)
        named, unit = np.unique(units, return_inverse=True)
        deal = stream(seed, "folds").permutation(len(named)) % min(FOLDS, len(named))
        return _Truth(label, unit, deal[unit], len(names))

    def lookup(self, keys: Sequence[str]) -> _Rule:
        """Vote by how usual a file's key is in each class."""
        _, key = np.unique(keys, return_inverse=True)
        _, pair = np.unique(np.stack([key, self.folds]), axis=1, return_inverse=True)
        pair = pair.ravel()
        return lambda labels: self._table(key, labels)[key] - self._table(pair, labels)[pair]

    def nearest(self, features: Floats) -> _Rule:
        """Vote by the nearest files."""
        scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
        order = np.empty((len(scaled), min(NEIGHBOURS, len(scaled))), np.int64)
        reached = np.empty(order.shape, bool)
        for start in range(0, len(scaled), _BLOCK):
            rows = slice(start, start + _BLOCK)
            distance = np.square(scaled[rows, None] - scaled[None]).sum(axis=2)
            distance[self.folds[rows, None] == self.folds[None]] = np.inf
            order[rows] = np.argsort(distance, axis=1, kind="stable")[:, :NEIGHBOURS]
            reached[rows] = np.take_along_axis(distance, order[rows], axis=1) < np.inf

        def votes(labels: Ints) -> Floats:
            chosen = labels[order]
            return np.stack([((chosen == number) & reached).sum(axis=1) for number in range(self.classes)], axis=1)

        return votes

    def accuracy(self, rule: _Rule, labels: Ints) -> float:
        """Return the balanced accuracy of the most voted class. A tie is right by its share.

        Votes are weighed by how many files of their class can vote, so that a rare class is as findable as a common one.
        A class that no other fold has cannot be guessed, and counts as chance.
        """
        own = self._table(self.folds, labels)
        voters = (own.sum(axis=0) - own)[self.folds]
        votes = rule(labels) / np.maximum(voters, 1)
        winners = votes >= votes.max(axis=1, keepdims=True) * (1 - _ROUNDING)
        here = np.arange(len(labels))
        credit = np.where(voters[here, labels] > 0, winners[here, labels] / winners.sum(axis=1), 1 / self.classes)
        files = np.bincount(labels, minlength=self.classes)
        right = np.bincount(labels, weights=credit, minlength=self.classes)
        return float((right[files > 0] / files[files > 0]).mean())

    def shuffles(self, count: int, seed: int) -> Iterator[Ints]:
        """Yield labels as they might be if files told nothing: exchanged within each unit, and among units of a single class."""
        rng = stream(seed, "shuffles")
        by_unit = np.argsort(self.units, kind="stable")
        _, first, sizes = np.unique(self.units[by_unit], return_index=True, return_counts=True)
        sorted_labels = self.labels[by_unit]
        lead = sorted_labels[first]
        pure = np.array(
            [
                (sorted_labels[at : at + size] == lead[n]).all()
                for n, (at, size) in enumerate(zip(first, sizes, strict=True))
            ]
        )
        for _ in range(count):
            within = np.lexsort((rng.random(len(by_unit)), self.units[by_unit]))
            mixed = sorted_labels[within]
            dealt = lead.copy()
            dealt[pure] = rng.permutation(lead[pure])
            mixed = np.where(np.repeat(pure, sizes), np.repeat(dealt, sizes), mixed)
            shuffled = np.empty_like(self.labels)
            shuffled[by_unit] = mixed
            yield shuffled

    def _table(self, rows: Ints, labels: Ints) -> Floats:
        """Count the files of each class [rows, classes]."""
        count = int(rows.max()) + 1
        flat = np.bincount(rows * self.classes + labels, minlength=count * self.classes)
        return flat.reshape(count, self.classes).astype(np.float64)


def _tables(data: bytes, kind: str) -> str:
    if kind != "JPEG":
        return ""
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        tables = getattr(image, "quantization", {})
    return hashlib.sha256(repr(sorted(tables.items())).encode()).hexdigest()
