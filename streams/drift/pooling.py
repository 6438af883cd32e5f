"""Many windows as one: what a reference is built from, and what a week is compared by."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from schemas.window import Correction, Estimate, WindowSummary
from streams.drift.prevalence import Corrected

LEAST_COVER: Final = 0.5
"""The share of the images that must lie in windows with a correction, before the corrected shares speak for all."""
DRAWS: Final = 512
NORMAL_95: Final = 1.959964
BINS: Final = 10


@dataclass(slots=True)
class Pool:
    """Sums over windows that do not overlap. A window that is taken twice counts once.

    Corrected shares are weighted by the images of their windows, and so are the ends of their intervals: as if all windows erred in the same
    direction. That is never too narrow, since what they share (the error of the calibration profile) does not shrink with their number.
    """

    windows: int = 0
    images: int = 0
    undecided: int = 0
    void: int = 0
    drifting: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    confidence: list[int] = field(default_factory=lambda: [0] * BINS)
    models: set[str] = field(default_factory=set)
    calibrations: set[str] = field(default_factory=set)
    corrected_images: int = 0
    """Images of the windows whose correction holds."""
    sampled: int = 0
    _guarded: bool = True
    _shares: dict[str, list[float]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    @property
    def decided(self) -> int:
        """How many images the counts are of."""
        return self.counts.total()

    def take(self, summary: WindowSummary) -> None:
        """Add a window."""
        if summary.window_id in self._seen:
            return
        self._seen.add(summary.window_id)
        self.windows += 1
        self.images += summary.images
        self.undecided += summary.undecided
        self.counts.update(summary.counts)
        self.models.update(summary.model_versions)
        if summary.divergences is not None and summary.divergences.state == "drifting":
            self.drifting += 1
        for bin_, count in enumerate((summary.confidence_histogram or ())[:BINS]):
            self.confidence[bin_] += count
        if summary.correction is not None:
            self._take_correction(summary.correction, summary.images)

    def shares(self) -> dict[str, float]:
        """Return the share of each predicted source among the decided, summing to 1; empty without any."""
        total = self.decided
        return {name: count / total for name, count in sorted(self.counts.items())} if total else {}

    def corrected(self) -> Corrected | None:
        """Return the corrected shares of all windows together, or None where too few images have any."""
        if self.corrected_images == 0 or self.corrected_images < LEAST_COVER * self.images:
            return None
        classes = tuple(sorted(self._shares))
        total = np.array([self._shares[name] for name in classes]) / self.corrected_images  # [classes, value low high]
        value, low, high = total[:, 0], total[:, 1], total[:, 2]
        draws = np.random.default_rng(0).normal(value, (high - low) / (2 * NORMAL_95), (DRAWS, len(classes)))
        draws = np.clip(draws, 0, None)
        shares = {
            name: Estimate(value=round(v, 6), low=round(lo, 6), high=round(hi, 6))
            for name, v, lo, hi in zip(classes, value.tolist(), low.tolist(), high.tolist(), strict=True)
        }
        correction = Correction(
            status="ok" if self._guarded else "unguarded",
            shares=shares,
            images=self.sampled,
            calibration_ids=tuple(sorted(self.calibrations)),
        )
        return Corrected(correction, classes, draws / draws.sum(axis=1, keepdims=True))

    def _take_correction(self, correction: Correction, images: int) -> None:
        self.void += correction.status == "void"
        if correction.shares is None or correction.status not in {"ok", "unguarded"}:
            return
        self._guarded = self._guarded and correction.status == "ok"
        self.corrected_images += images
        self.sampled += correction.images
        self.calibrations.update(correction.calibration_ids)
        for name, share in correction.shares.items():
            sums = self._shares.setdefault(name, [0.0, 0.0, 0.0])
            for place, part in enumerate((share.value, share.low, share.high)):
                sums[place] += images * part
