"""Messages as the page gets them: short JSON, texts cut to a length, an estimate as [value, low, high], moments in milliseconds."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from schemas.verdict import REAL, Verdict
from schemas.window import Correction, Divergences, DriftAlert, Estimate, GeneratorCandidate, WindowSummary

MOST_TEXT: Final = 160
MOST_CLASSES: Final = 40
"""Classes of one window that are shown: what comes from a topic is not ours to trust."""

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def text(value: str | None, most: int = MOST_TEXT) -> str | None:
    """Return at most `most` characters of a text, with a sign that it was cut."""
    return value if value is None or len(value) <= most else f"{value[: most - 1]}…"


def milliseconds(moment: datetime) -> int:
    """Return a moment as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def spec_of(window: WindowSummary) -> str:
    """Return the name of the kind of window; summaries of earlier releases have none, so it follows from the length.

    >>> from datetime import UTC, datetime
    >>> start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    >>> of = dict(window_id="w", tenant="acme", start=start, end=end, images=0, counts={}, probability_sums={}, verdicts={})
    >>> spec_of(WindowSummary(**of))
    '5m'
    """
    if window.window:
        return window.window[:32]
    seconds = max(1, round((window.end - window.start).total_seconds()))
    return next(f"{seconds // size}{unit}" for size, unit in _UNITS if seconds % size == 0)


def window_json(window: WindowSummary) -> dict[str, Any]:
    """Return a window: its raw shares, its corrected ones and its distance from the reference, as far as it has them.

    `reference` is what raw shares are compared with, `expected` what corrected ones are, where that is another.
    """
    raw = window.raw_shares or _shares(window.counts)
    shown: dict[str, Any] = {
        "id": window.window_id[:64],
        "t0": milliseconds(window.start),
        "t1": milliseconds(window.end),
        "images": window.images,
        "undecided": window.undecided,
        "late": window.late,
        "verdicts": window.verdicts,
        "raw": _rounded(raw),
        "raw_ai": _ai(raw),
        "reference": _rounded(window.reference) if window.reference else None,
        "reference_ai": _ai(window.reference) if window.reference else None,
        "expected": _rounded(window.reference_corrected) if window.reference_corrected else None,
        "expected_ai": _ai(window.reference_corrected) if window.reference_corrected else None,
        "correction": _correction(window.correction) if window.correction else None,
        "distance": _distance(window),
        "confidence": _finite(window.mean_confidence),
        "histogram": window.confidence_histogram,
        "candidates": len(window.candidates),
        "models": [text(one, 64) for one in window.model_versions[:8]],
    }
    return {name: value for name, value in shown.items() if value is not None and value not in ([], {})}


def alert_json(alert: DriftAlert) -> dict[str, Any]:
    """Return an alert, raised or resolved."""
    return {
        "id": alert.alert_id[:64],
        "tenant": alert.tenant,
        "window": alert.window,
        "t0": milliseconds(alert.start),
        "t1": milliseconds(alert.end),
        "images": alert.images,
        "state": alert.state,
        "episode": text(alert.episode_id, 64),
        "statistic": alert.statistic,
        "basis": alert.basis,
        "value": [_finite(alert.value), _finite(alert.low), _finite(alert.high)],
        "threshold": _finite(alert.threshold),
        "grown": text(alert.most_grown, 64),
        "shrunk": text(alert.most_shrunk, 64),
        "report": text(f"{alert.report.bucket}/{alert.report.key}", 300) if alert.report else None,
    }


def candidate_json(candidate: GeneratorCandidate, pictures: Sequence[str | None]) -> dict[str, Any]:
    """Return a candidate for a generator nobody taught; `pictures` are the tokens of its exemplars."""
    return {
        "id": candidate.candidate_id[:64],
        "tenant": candidate.tenant,
        "window": candidate.window,
        "t0": milliseconds(candidate.start),
        "t1": milliseconds(candidate.end),
        "images": candidate.images,
        "rejected": candidate.rejected,
        "cohesion": _finite(candidate.cohesion),
        "nearest": text(candidate.nearest_class, 64),
        "model": text(candidate.model_version, 64),
        "pictures": [one for one in pictures if one],
    }


def verdict_json(verdict: Verdict, at_ms: int, picture: str | None, overlay: str | None) -> dict[str, Any]:
    """Return a verdict; `picture` and `overlay` are tokens, where there is something to be seen."""
    probabilities = sorted((verdict.per_class_probs or {}).items(), key=lambda one: -one[1])[:8]
    return {
        "id": verdict.outcome_id[:64],
        "at": at_ms,
        "tenant": verdict.tenant[:64],
        "image": text(verdict.image_id),
        "verdict": verdict.verdict,
        "source": text(verdict.predicted_source, 64),
        "confidence": _finite(verdict.confidence),
        "reasons": [text(one, 40) for one in verdict.reasons[:6]],
        "probabilities": {name[:64]: _finite(value) for name, value in probabilities},
        "novelty": [_finite(verdict.novelty.score), _finite(verdict.novelty.threshold)] if verdict.novelty else None,
        "nearest": text(verdict.novelty.nearest, 64) if verdict.novelty else None,
        "model": text(verdict.model.version, 64),
        "ms": _finite(verdict.timing.processing_ms),
        "size": [verdict.object.width, verdict.object.height],
        "explanation": verdict.explanation.status,
        "picture": picture,
        "overlay": overlay,
    }


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else {}


def _ai(shares: Mapping[str, float]) -> float | None:
    return _finite(1 - shares.get(REAL, 0.0)) if shares else None


def _rounded(shares: Mapping[str, float]) -> dict[str, float | None]:
    largest = sorted(shares.items(), key=lambda one: -one[1])[:MOST_CLASSES]
    return {name[:64]: _finite(share) for name, share in largest}


def _correction(correction: Correction) -> dict[str, Any]:
    shares = sorted((correction.shares or {}).items(), key=lambda one: -one[1].value)[:MOST_CLASSES]
    return {
        "status": correction.status,
        "reason": text(correction.reason),
        "ai": _estimate(correction.ai),
        "shares": {name[:64]: _estimate(share) for name, share in shares} or None,
        "images": correction.images,
        "p": _finite(correction.goodness.p_value) if correction.goodness else None,
    }


def _distance(window: WindowSummary) -> dict[str, Any] | None:
    """Return the distance with its interval; a summary of an earlier release has a bare figure."""
    if window.divergences is None:
        bare = _finite(window.kl_current_reference_nats)
        return None if bare is None else {"kl": [bare, None, None], "basis": "raw"}
    found: Divergences = window.divergences
    return {
        "basis": found.basis,
        "state": found.state,
        "episode": text(found.episode_id, 64),
        "reference": text(found.reference_version, 64),
        "kl": _estimate(found.kl_current_reference_nats),
        "kl_back": _estimate(found.kl_reference_current_nats),
        "js": _estimate(found.js_distance),
        "psi": _estimate(found.psi),
        "p": _finite(found.chi_square_p),
    }


def _estimate(estimate: Estimate | None) -> list[float | None] | None:
    return None if estimate is None else [_finite(one) for one in (estimate.value, estimate.low, estimate.high)]


def _finite(value: float | None) -> float | None:
    """Return six digits of a number; what is not finite has no place in JSON."""
    return round(value, 6) if value is not None and math.isfinite(value) else None
