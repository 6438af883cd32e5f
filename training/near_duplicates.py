"""Groups of images that are nearly the same picture, by the Hamming distance of their difference hashes. Exact, and fit for 100,000 images."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

HASH_BITS: Final = 64
_BLOCK: Final = 4096  # hashes that are held against one at a time

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]


class DisjointSets:
    """Which of `size` things belong together, through any chain of `join`; the smallest number of a set is its name."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, number: int) -> int:
        """Return the name of the set that `number` is in."""
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Make one set of two."""
        one, other = self.find(one), self.find(other)
        self._parent[max(one, other)] = min(one, other)


def near_groups(hashes: Sequence[int], bits: int) -> list[int]:
    """Return for each 64-bit hash the first index of its group: hashes at most `bits` apart are in one, through any chain of them.

    By the pigeonhole principle, of `bits` + 1 bands one is equal in two hashes that differ in at most `bits` places: only those that
    share a band are compared.
    """
    distinct, first, place = np.unique(np.array(hashes, np.uint64), return_index=True, return_inverse=True)
    sets = DisjointSets(len(distinct))
    for low, high in _bands(bits + 1):
        band = (distinct >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        for members in _alike(band):
            for one, others in _pairs(distinct, members, bits):
                for other in others:
                    sets.join(one, int(other))
    leader: dict[int, int] = {}
    for number, index in enumerate(first):
        name = sets.find(number)
        leader[name] = min(leader.get(name, int(index)), int(index))
    return [leader[sets.find(int(number))] for number in place]


def _bands(count: int) -> Iterator[tuple[int, int]]:
    """Yield `count` ranges of bits, as equal as they go."""
    edges = [HASH_BITS * number // count for number in range(count + 1)]
    yield from pairwise(edges)


def _alike(keys: Hashes) -> Iterator[Ints]:
    """Yield the places of equal keys, where there are several."""
    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(np.diff(keys[order])) + 1
    for members in np.split(order, ends):
        if len(members) > 1:
            yield members


def _pairs(distinct: Hashes, members: Ints, bits: int) -> Iterator[tuple[int, Ints]]:
    """Yield each member with those after it that are near."""
    values = distinct[members]
    for number in range(len(members) - 1):
        for start in range(number + 1, len(members), _BLOCK):
            near = np.bitwise_count(values[start : start + _BLOCK] ^ values[number]) <= bits
            if near.any():
                yield int(members[number]), members[start : start + _BLOCK][near]
