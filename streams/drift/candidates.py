"""Novel images that are like one another: the first sign of a generator that the model was not taught, before any class share moves.

Rejected images of known classes are in any window, about as many as the checkpoint's rule of novelty was asked to allow. They lie in many directions,
yet those of one class may lie together: of 2,000 simulated test images 92 were rejected, and 20 of these were one cluster. So a cluster is a candidate where three
things hold: it has enough members, they lie close about their middle, and the window has more rejected images than its known classes explain, also
after the larger clusters are taken away.

Measured with `tests/bench/candidates.py` (demo checkpoint, laundered images, 200 windows a figure, 2026-11-25). With known classes alone no window has a
candidate, of 500 images or of 2,000. Where a fifth of a window is by `other_ai`, of which 46 % are rejected, 153 of 200 windows of 500 images and 199
of 200 of 2,000 have one, and its exemplars are of that generator; where a tenth is, 2 and none: after 200 calibration images a rate of 9 % may be
chance. With ten times as many 65 and 173 have. `pixel_ai`, 14 % rejected, is not found: what is not novel to the model cannot be here. And known classes
by other cameras are found as well, once all of a window is (14 % rejected): a candidate says that something is new, and only its exemplars say what.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model.embedding import BYTES, directions
from schemas.calibration import CalibrationProfile

EXEMPLARS: Final = 5
_SURE: Final = 0.01
_LENT: Final = 10  # images that a class's rate takes from the rate of all
_TURNS: Final = 20  # of a cluster's middle; it settles in a few

Cosines = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reject:
    """A novel image of a window. `fingerprint` is of its outcome, `bucket` and `key` say where it lies, `nearest` is the class it is least unlike."""

    fingerprint: int
    embedding: bytes
    nearest: str | None
    bucket: str
    key: str
    model_version: str


@dataclass(frozen=True, slots=True)
class CandidateRules:
    """What makes a cluster a candidate: least members, and the least cosine of a member to the middle."""

    min_images: int = 20
    min_cohesion: float = 0.6


@dataclass(frozen=True, slots=True)
class KnownRate:
    """What is known of the share of known images that a model rejects: a beta distribution with these parameters."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        """The expected share."""
        return self.a / (self.a + self.b)


USUAL: Final = KnownRate(10.5, 190.5)
"""The rate where no profile tells it: 5 % of 200 images, which is what `deeptrace calibrate` asks for by itself."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Rejects of one model that lie together. `images` are those among the rejects given, a sample where the window has more."""

    images: int
    cohesion: float
    exemplars: tuple[Reject, ...]
    nearest: str | None
    model_version: str


def candidates_of(
    rejects: Sequence[Reject],
    *,
    rules: CandidateRules,
    images: int,
    rejected: int | None = None,
    known: KnownRate = USUAL,
) -> list[Cluster]:
    """Return the candidates among the rejects of a window, largest first; the same whatever the order of the rejects.

    `images` are those that were scored for novelty in the window, and `rejected` how many of them were novel, where `rejects` is a sample of these
    by fingerprint. `known` is the rate at which the model rejects what it knows: `known_rate`.
    """
    left = len(rejects) if rejected is None else rejected
    if len(rejects) < rules.min_images or explained(left, images, known) >= _SURE:
        return []
    weight = left / len(rejects)  # of a reject, in a sample
    found = [cluster for mine in _by_model(rejects) for cluster in _clusters(mine, rules)]
    kept = []
    for cluster in sorted(found, key=lambda one: (-one.images, one.exemplars[0].fingerprint)):
        if explained(left, images, known) >= _SURE:
            break
        kept.append(cluster)
        taken = round(cluster.images * weight)
        left, images = left - taken, images - taken
    return kept


def known_rate(profile: CalibrationProfile | None, mix: Mapping[str, float] | None = None) -> KnownRate:
    """Return how often a window of this mix of known classes is rejected, as far as the calibration tells; without a profile `USUAL`.

    `mix` weighs the classes (corrected shares, else raw ones; names that the model does not know are left out), by default as the calibration did. The
    rate of a class is a beta distribution of its own counts and of ten images more at the rate of all, since some tens of images tell little of a rate of 5 %;
    the mean over the mix is the beta distribution of the same mean and variance, but never surer than all images together are.
    """
    if profile is None:
        return USUAL
    weights = [max(0.0, (mix or {}).get(name, 0.0)) for name in profile.classes]
    if not sum(weights) > 0:
        weights = list(profile.prior)
    counts = [_rejected(profile, name) for name in profile.classes]
    images = sum(count for _, count in counts)
    usual = (sum(novel for novel, _ in counts) + 0.5) / (images + 1)
    mean = variance = 0.0
    for (novel, count), weight in zip(counts, weights, strict=True):
        share = weight / sum(weights)
        own = KnownRate(novel + _LENT * usual, count - novel + _LENT * (1 - usual))
        mean += share * own.mean
        variance += share**2 * own.mean * (1 - own.mean) / (own.a + own.b + 1)
    size = min(mean * (1 - mean) / variance - 1, images + 1.0)  # what was lent makes it no surer
    return KnownRate(mean * size, (1 - mean) * size)


def explained(rejected: int, images: int, known: KnownRate = USUAL) -> float:
    """Return how likely known classes alone give at least so many rejected images of so many: the upper tail of the beta-binomial.

    The rate itself is uncertain, so for a small calibration this is far wider than the binomial.

    >>> explained(5, 100) > 0.3, explained(25, 100) < 0.001
    (True, True)
    """
    if rejected <= 0:
        return 1.0
    if rejected > images:  # no such count; it is at least not explained
        return 0.0
    a, b = known.a, known.b
    below = np.arange(rejected - 1)
    steps = np.log((images - below) * (below + a)) - np.log((below + 1) * (images - below - 1 + b))
    first = math.lgamma(a + b) + math.lgamma(images + b) - math.lgamma(b) - math.lgamma(images + a + b)
    logs = first + np.concatenate([[0.0], np.cumsum(steps)])
    return max(0.0, 1.0 - float(np.exp(logs).sum()))


def _rejected(profile: CalibrationProfile, name: str) -> tuple[int, int]:
    """How many of a class's images were novel (`model.answer_cells` gives those the odd cells), and how many there are."""
    row = profile.cells.get(name, ())
    return sum(row[1::2]), sum(row)


def _by_model(rejects: Sequence[Reject]) -> Iterator[list[Reject]]:
    """Yield the rejects of each model by itself, in one order: angles mean nothing between two models."""
    ordered = sorted(set(rejects), key=lambda one: (one.fingerprint, one.embedding, one.bucket, one.key))
    for version in sorted({one.model_version for one in ordered}):
        yield [one for one in ordered if one.model_version == version and len(one.embedding) == BYTES]


def _clusters(rejects: list[Reject], rules: CandidateRules) -> Iterator[Cluster]:
    """Leader clustering: the image with the most others near it leads, its group is drawn about its own middle until it settles, and goes."""
    while len(rejects) >= rules.min_images:
        unit = directions([one.embedding for one in rejects])
        near = unit @ unit.T >= rules.min_cohesion
        members = near[int(near.sum(axis=1).argmax())]  # the first of several alike
        for _ in range(_TURNS):
            to_middle = _to_middle(unit, members)
            again = to_middle >= rules.min_cohesion
            if (again == members).all():
                break
            members = again
        if int(members.sum()) < rules.min_images:
            return
        to_middle = _to_middle(unit, members)
        ranked = sorted(np.flatnonzero(members).tolist(), key=lambda place: (-to_middle[place], place))
        yield Cluster(
            images=len(ranked),
            cohesion=float(to_middle[members].mean()),
            exemplars=tuple(rejects[place] for place in ranked[:EXEMPLARS]),
            nearest=_commonest(rejects[place].nearest for place in ranked),
            model_version=rejects[0].model_version,
        )
        rejects = [one for one, taken in zip(rejects, members.tolist(), strict=True) if not taken]


def _to_middle(unit: Cosines, members: NDArray[np.bool_]) -> Cosines:
    middle = unit[members].sum(axis=0)
    return np.asarray(unit @ middle / max(float(np.linalg.norm(middle)), np.finfo(float).tiny))


def _commonest(classes: Iterator[str | None]) -> str | None:
    counts = Counter(name for name in classes if name is not None)
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None
