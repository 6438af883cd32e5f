"""Closed windows as a drift worker publishes them, for tests that read them back."""

from datetime import UTC, datetime, timedelta

from schemas.identity import outcome_id
from schemas.window import Correction, Divergences, Estimate, WindowSummary

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def exact(value: float, half_width: float = 0.0) -> Estimate:
    """Return a figure with a symmetric interval."""
    return Estimate(value=value, low=value - half_width, high=value + half_width)


def corrected(status: str = "ok", *, half_width: float = 0.0, images: int = 100, **shares: float) -> Correction:
    """Return a correction with these shares."""
    return Correction(
        status=status,
        shares={name: exact(share, half_width) for name, share in shares.items()} or None,
        images=images,
        calibration_ids=("c1",),
    )


def drifted(state: str, episode_id: str | None = None, version: str | None = None) -> Divergences:
    """Return divergences of which only the state of the episode matters."""
    zero = exact(0.0)
    return Divergences(
        basis="raw",
        reference_version=version,
        kl_current_reference_nats=zero,
        kl_reference_current_nats=zero,
        js_distance=zero,
        psi=zero,
        state=state,
        episode_id=episode_id,
    )


def closed(
    counts: dict[str, int],
    *,
    hour: int = 0,
    tenant: str = "*",
    window: str = "1h",
    undecided: int = 0,
    start: datetime = NOON,
    **fields,
) -> WindowSummary:
    """Return a window of one hour that began `hour` hours after `start`."""
    begin = start + timedelta(hours=hour)
    return WindowSummary(
        window_id=outcome_id("window", tenant, window, begin.isoformat()),
        tenant=tenant,
        window=window,
        start=begin,
        end=begin + timedelta(hours=1),
        images=sum(counts.values()) + undecided,
        counts=counts,
        probability_sums={},
        verdicts={},
        undecided=undecided,
        model_versions=("m1",),
        **fields,
    )
