"""What a report is made of: counts as rows, bounded, and a few words about them. Knows neither Evidently nor pandas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.reference import DriftReference

MAX_ROWS: Final = 20_000
"""Evidently counts rows and knows no weights: larger windows are scaled down to this, keeping their shares."""
SHARES_ROWS: Final = 10_000
"""Rows of a reference that says only shares."""


@dataclass(frozen=True, slots=True)
class Normal:
    """The reference of a report: argmax shares, and what more is known of it."""

    shares: Mapping[str, float]
    images: int | None = None
    version: str | None = None
    confidence: Sequence[int] | None = None

    @classmethod
    def of(cls, stored: DriftReference) -> "Normal":
        """Return a stored reference."""
        return cls(stored.shares, stored.images, stored.version, stored.confidence_histogram)


@dataclass(frozen=True, slots=True)
class Content:
    """One report. Counts are by predicted source; histograms by confidence, ten bins of a tenth each."""

    title: str
    reference: dict[str, int]
    current: dict[str, int]
    threshold: float
    reference_confidence: tuple[int, ...] | None = None
    current_confidence: tuple[int, ...] | None = None
    about: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A report as it is stored."""

    html: bytes
    json: bytes


def content_of(
    title: str,
    counts: Mapping[str, int],
    normal: Normal,
    *,
    threshold: float,
    confidence: Sequence[int] | None = None,
    about: Mapping[str, str] | None = None,
) -> Content:
    """Return the report of `counts` against `normal`. Confidence is in it where both have a histogram.

    Raises:
        ValueError: there is nothing on one side: Evidently cannot compare that.
    """
    if sum(counts.values()) == 0 or not any(normal.shares.values()):
        raise ValueError("nothing to compare")
    has_confidence = any(confidence or ()) and any(normal.confidence or ())
    rows = min(normal.images or SHARES_ROWS, MAX_ROWS)
    return Content(
        title=title,
        reference=apportioned(normal.shares, rows),
        current=apportioned(counts, min(sum(counts.values()), MAX_ROWS)),
        threshold=threshold,
        reference_confidence=_histogram(normal.confidence, rows) if has_confidence else None,
        current_confidence=_histogram(confidence, min(sum(counts.values()), MAX_ROWS)) if has_confidence else None,
        about=dict(about or {}),
    )


def apportioned(weights: Mapping[str, float], rows: int) -> dict[str, int]:
    """Return whole numbers that sum to `rows`, in proportion to `weights` (largest remainders); equal to counts that sum to it.

    >>> apportioned({"real": 0.5, "flux": 0.25, "dalle3": 0.25}, 10)
    {'real': 5, 'flux': 3, 'dalle3': 2}
    """
    total = sum(weights.values())
    exact = {name: weight * rows / total for name, weight in weights.items()}
    whole = {name: int(share) for name, share in exact.items()}
    left = rows - sum(whole.values())
    for name in sorted(exact, key=lambda name: whole[name] - exact[name])[:left]:
        whole[name] += 1
    return whole


def _histogram(bins: Sequence[int] | None, rows: int) -> tuple[int, ...]:
    counts = {str(place): count for place, count in enumerate(bins or ())}
    return tuple(apportioned(counts, rows).values())
