"""Alerts on closed windows: an episode of drift that begins or ends, and a confidence that changes slowly."""

from collections.abc import Mapping
from typing import Literal

from schemas.identity import outcome_id
from schemas.window import DriftAlert, StoredObject, WindowSummary
from streams.drift.reference import Reference
from streams.drift.slow_drift import STATISTIC, THRESHOLD

DIGITS = 6


def episode_alert(
    summary: WindowSummary,
    event: Literal["raised", "resolved"],
    reference: Reference,
    *,
    threshold: float,
    report: StoredObject | None,
) -> DriftAlert:
    """Return the alert on a window that begins or ends an episode, with the shares that were compared; its id follows from the window."""
    divergences = summary.divergences
    assert divergences is not None, "an episode rests on a divergence"
    kl = divergences.kl_current_reference_nats
    corrected = summary.correction.shares if summary.correction is not None else None
    if divergences.basis == "corrected" and corrected is not None:
        shares: Mapping[str, float] = {name: one.value for name, one in corrected.items()}
        normal = Reference(reference.corrected or reference.shares).over(shares)
    else:
        shares, normal = summary.raw_shares or {}, reference.over(summary.counts)
    shares = {name: round(shares.get(name, 0.0), DIGITS) for name in normal}
    growth = {name: share - normal[name] for name, share in shares.items()}
    return DriftAlert(
        alert_id=outcome_id("drift-alert", summary.window_id, "kl_current_reference_nats", event),
        window_id=summary.window_id,
        tenant=summary.tenant,
        window=summary.window,
        start=summary.start,
        end=summary.end,
        images=summary.images,
        state=event,
        episode_id=divergences.episode_id,
        basis=divergences.basis,
        value=kl.value,
        low=kl.low,
        high=kl.high,
        threshold=threshold,
        most_grown=max(growth, key=growth.__getitem__),
        most_shrunk=min(growth, key=growth.__getitem__),
        shares=shares,
        reference={name: round(share, DIGITS) for name, share in normal.items()},
        report=report,
    )


def slow_alert(summary: WindowSummary, value: float) -> DriftAlert:
    """Return the alert on a pane at which the detector told of a change. It has no report: what changes slowly is not to be seen in one window."""
    return DriftAlert(
        alert_id=outcome_id("drift-alert", summary.window_id, STATISTIC),
        window_id=summary.window_id,
        tenant=summary.tenant,
        window=summary.window,
        start=summary.start,
        end=summary.end,
        images=summary.images,
        episode_id=outcome_id("slow-drift", summary.window_id),
        statistic="page_hinkley_confidence",
        value=round(value, DIGITS),
        threshold=THRESHOLD,
        shares=summary.raw_shares or {},
        reference=summary.reference or {},
    )
