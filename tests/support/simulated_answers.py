"""A model whose true behaviour is known: answers drawn from it are calibrated by construction, or off by a stated temperature.

An image of class c is a point drawn from a normal distribution of unit width around the c-th axis, `separation` away from 0. The probabilities under an even prior are then
the softmax of `separation` times the point, exactly. At a separation of 2.41 the likeliest of five classes is the true one in 87 of 100 images.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.answer_cells import cell_count, cells_of
from model.embedding import BYTES
from schemas.calibration import CalibrationProfile
from schemas.observations import UNIT
from schemas.verdict import UNKNOWN_GENERATOR
from streams.drift.answers import Answers

CLASSES = ("dalle3", "flux", "midjourney", "real", "stable_diffusion")
REAL_AT = CLASSES.index("real")
UNKNOWN = -1
SOURCES = (*CLASSES, UNKNOWN_GENERATOR)
WITHHELD = -1


@dataclass(frozen=True)
class Drawn:
    """Simulated images: true class (`UNKNOWN` for a generator that no class is of), probabilities [n, 5], novel [n], embedding [n, 32]."""

    truth: NDArray[np.int64]
    probs: NDArray[np.float64]
    novel: NDArray[np.bool_]
    embeddings: NDArray[np.int8]

    def answers(self, calibration_id: str = "sim") -> Answers:
        """Return what the windows keep of them: probabilities in whole steps."""
        kept = np.round(self.probs * UNIT) / UNIT
        return Answers(CLASSES, (0.2,) * len(CLASSES), calibration_id, kept, self.novel)

    def sources(self) -> NDArray[np.int64]:
        """Return the predicted source of each, as a place in `SOURCES`: a novel image is of an unknown generator where it would be AI, else `WITHHELD`."""
        likeliest = self.probs.argmax(axis=1)
        return np.where(self.novel, np.where(likeliest == REAL_AT, WITHHELD, len(CLASSES)), likeliest)

    def counts(self) -> dict[str, int]:
        """Return the hard counts of the decided by source."""
        sources = self.sources()
        found = np.bincount(sources[sources != WITHHELD], minlength=len(SOURCES))
        return dict(zip(SOURCES, found.tolist(), strict=True))

    def part(self, rows: slice) -> "Drawn":
        """Return some of them."""
        return Drawn(self.truth[rows], self.probs[rows], self.novel[rows], self.embeddings[rows])


@dataclass(frozen=True)
class SimulatedModel:
    """Five classes. `sharpness` 1 is calibrated; above it the model is surer than it may be, below it less sure.

    `known_novel` and `unknown_novel` are the shares of images that the open-set score rejects, of known classes and of the unknown generator.
    """

    separation: float = 2.41
    sharpness: float = 1.0
    known_novel: float = 0.05
    unknown_novel: float = 0.6

    def draw(self, rng: np.random.Generator, images: int, *, ai: float, unknown: float = 0.0) -> Drawn:
        """Draw images: a share `ai` in equal parts of the four known generators, a share `unknown` of one nobody knows, the rest real."""
        shares = np.full(len(CLASSES), ai / (len(CLASSES) - 1))
        shares[REAL_AT] = 1 - ai - unknown
        truth = rng.choice(len(CLASSES) + 1, size=images, p=[*shares, unknown])
        truth[truth == len(CLASSES)] = UNKNOWN
        return self._judged(rng, truth)

    def profile(
        self, rng: np.random.Generator, images_a_class: int = 400, calibration_id: str = "sim"
    ) -> CalibrationProfile:
        """Return the profile of an independent calibration sample."""
        drawn = self._judged(rng, np.repeat(np.arange(len(CLASSES)), images_a_class))
        cells = cells_of(drawn.probs, drawn.novel)
        rows = {
            name: tuple(np.bincount(cells[drawn.truth == at], minlength=cell_count(len(CLASSES))).tolist())
            for at, name in enumerate(CLASSES)
        }
        return CalibrationProfile(
            calibration_id=calibration_id, classes=CLASSES, prior=(0.2,) * len(CLASSES), cells=rows
        )

    def fitted(self, rng: np.random.Generator, images_a_class: int = 400) -> "SimulatedModel":
        """Return the model with the temperature that `deeptrace calibrate` would give it: the one of least loss on such a sample."""
        truth = np.repeat(np.arange(len(CLASSES)), images_a_class)
        logits = np.log(np.maximum(self._judged(rng, truth).probs, 1e-300))

        def loss(factor: float) -> float:
            scaled = factor * logits
            return float((np.logaddexp.reduce(scaled, axis=1) - scaled[np.arange(len(truth)), truth]).mean())

        low, high = 0.2, 5.0
        while high - low > 1e-3:  # the loss is convex in the factor
            third = (high - low) / 3
            low, high = (low + third, high) if loss(low + third) > loss(high - third) else (low, high - third)
        return replace(self, sharpness=self.sharpness * (low + high) / 2)

    def _judged(self, rng: np.random.Generator, truth: NDArray[np.int64]) -> Drawn:
        known = truth != UNKNOWN
        points = rng.standard_normal((len(truth), len(CLASSES)))
        points[known, truth[known]] += self.separation
        points[np.ix_(~known, [0, 2])] += self.separation / 2  # half like one generator, half like another
        logits = self.sharpness * self.separation * points
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        novel = rng.random(len(truth)) < np.where(known, self.known_novel, self.unknown_novel)
        return Drawn(truth, weights / weights.sum(axis=1, keepdims=True), novel, _embeddings(rng, known))


def _embeddings(rng: np.random.Generator, known: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Draw directions: of known images any, of the unknown generator's near one axis."""
    directions = rng.standard_normal((len(known), BYTES))
    directions[~known] *= 0.15
    directions[~known, 0] += 1
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.round(directions * 127).astype(np.int8)
