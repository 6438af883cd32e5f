"""What is counted of the images of a window. Adding up is all there is: the same images give the same, in any order and in any pieces."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson

from schemas.observations import ABSENT, HAS_PROBS, REJECTED, SCORED, UNIT, ObservationBatch, ObservedReject
from streams.drift.rows import EMPTY, VERDICTS, Rows
from streams.drift.sample import merged_samples, sample_of, smallest_rejects

BINS: Final = 10
MAX_NAMES: Final = 256
"""Different sources, classes or models of one window that are named; what a broken producer has beyond goes under `OTHERS`."""
OTHERS: Final = "~others"

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class SampleSizes:
    """How many images and rejects a window keeps."""

    images: int
    rejects: int


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """Counts and sums of some images. Sums are whole 1/60000, so that they are the same in any order.

    `scored` were scored for novelty, and `rejected` of them came with an embedding. `histogram` and the sum of confidence are over the `rated`: decided images with a confidence. `sample` and `rejects` are those with the smallest
    fingerprints.
    """

    images: int = 0
    undecided: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    histogram: tuple[int, ...] = (0,) * BINS
    confidence_sum: int = 0
    scored: int = 0
    rejected: int = 0
    models: frozenset[str] = frozenset()
    sample: Rows = EMPTY
    rejects: Mapping[int, ObservedReject] = field(default_factory=dict)

    @property
    def rated(self) -> int:
        """How many images the histogram counts."""
        return sum(self.histogram)

    def merged(self, other: "Aggregate", sizes: SampleSizes) -> "Aggregate":
        """Return what both counted, of images that none has in common."""
        return Aggregate(
            images=self.images + other.images,
            undecided=self.undecided + other.undecided,
            counts=_bounded(_added(self.counts, other.counts)),
            verdicts=_added(self.verdicts, other.verdicts),
            sums=_bounded(_added(self.sums, other.sums)),
            histogram=tuple(a + b for a, b in zip(self.histogram, other.histogram, strict=True)),
            confidence_sum=self.confidence_sum + other.confidence_sum,
            scored=self.scored + other.scored,
            rejected=self.rejected + other.rejected,
            models=frozenset(sorted(self.models | other.models)[:MAX_NAMES]),
            sample=merged_samples(self.sample, other.sample, sizes.images),
            rejects=smallest_rejects({**self.rejects, **other.rejects}, sizes.rejects),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {
            "version": VERSION,
            "images": self.images,
            "undecided": self.undecided,
            "counts": self.counts,
            "verdicts": self.verdicts,
            "sums": self.sums,
            "histogram": self.histogram,
            "confidence_sum": self.confidence_sum,
            "scored": self.scored,
            "rejected": self.rejected,
            "models": sorted(self.models),
            "sample": Rows(self.sample.table, self.sample.models, (), self.rejects).to_message("sample").to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Aggregate":
        """Return the aggregate that `to_json` wrote."""
        kept = Rows.from_message(ObservationBatch.model_validate(record["sample"]))
        return cls(
            images=record["images"],
            undecided=record["undecided"],
            counts=Counter(record["counts"]),
            verdicts=Counter(record["verdicts"]),
            sums=Counter(record["sums"]),
            histogram=tuple(record["histogram"]),
            confidence_sum=record["confidence_sum"],
            scored=record["scored"],
            rejected=record["rejected"],
            models=frozenset(record["models"]),
            sample=Rows(kept.table, kept.models) if len(kept) else EMPTY,
            rejects=dict(kept.rejects),
        )

    def to_bytes(self) -> bytes:
        """Return the canonical bytes: equal aggregates are equal bytes."""
        return orjson.dumps(self.to_json(), option=orjson.OPT_SORT_KEYS)


def aggregate_of(rows: Rows, sizes: SampleSizes) -> Aggregate:
    """Return the aggregate of these images."""
    table = rows.table
    if not len(table):
        return Aggregate()
    sources = np.bincount(table["source"], minlength=len(rows.sources) + 1).tolist()
    verdicts = np.bincount(table["verdict"], minlength=len(VERDICTS)).tolist()
    rated = table["confidence"][(table["source"] > 0) & (table["confidence"] != ABSENT)].astype(np.int64)
    bins = np.minimum(rated * BINS // UNIT, BINS - 1)
    used = np.flatnonzero(np.bincount(table["model"], minlength=len(rows.models))).tolist()
    return Aggregate(
        images=len(table),
        undecided=sources[0],
        counts=_bounded(_named(rows.sources, sources[1:])),
        verdicts=_named(VERDICTS, verdicts),
        sums=_bounded(_sums(rows, used)),
        histogram=tuple(np.bincount(bins, minlength=BINS).tolist()),
        confidence_sum=int(rated.sum()),
        scored=int(np.count_nonzero(table["flags"] & SCORED)),
        rejected=int(np.count_nonzero(table["flags"] & REJECTED)),
        models=frozenset(sorted({rows.models[code].version for code in used})[:MAX_NAMES]),
        sample=sample_of(rows, sizes.images),
        rejects=smallest_rejects(dict(rows.rejects), sizes.rejects),
    )


def _sums(rows: Rows, used: list[int]) -> Counter[str]:
    sums: Counter[str] = Counter()
    has_probs = rows.table["flags"] & HAS_PROBS != 0
    for code in used:
        of_model = rows.table["probs"][has_probs & (rows.table["model"] == code)]
        totals = of_model.sum(axis=0, dtype=np.int64).tolist()
        if len(of_model):
            for name, total in zip(rows.models[code].classes, totals, strict=False):  # the rest of the width is empty
                sums[name] += total
    return sums


def _named(names: tuple[str, ...], totals: list[int]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for name, total in zip(names, totals, strict=True):
        if total:
            counted[name] += total
    return counted


def _added(first: Counter[str], second: Counter[str]) -> Counter[str]:
    total = Counter(first)
    total.update(second)  # unlike `+` it keeps what is zero
    return total


def _bounded(counts: Counter[str]) -> Counter[str]:
    """Keep the first names in alphabetical order: a name among the first of all is among the first of each part, so merging stays exact."""
    names = sorted(counts.keys() - {OTHERS})
    if len(names) <= MAX_NAMES:
        return counts
    kept = Counter({name: counts[name] for name in names[:MAX_NAMES]})
    kept[OTHERS] = counts.total() - kept.total()
    return kept
