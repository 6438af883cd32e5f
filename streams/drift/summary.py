"""A closed window, said to the world: its summary, and an alert if it drifted."""

from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.identity import outcome_id
from schemas.window import DriftAlert, WindowSummary
from streams.drift.divergence import kl_nats, smoothed_shares
from streams.drift.reference import References
from streams.drift.windows import MICRO, ClosedWindow

DIGITS = 6


@dataclass(frozen=True, slots=True)
class Judge:
    """Makes summaries and alerts. Ids follow from tenant, start and size alone, so a repeat is recognised as one."""

    references: References
    threshold: float
    min_images: int

    def summary(self, tenant: str, closed: ClosedWindow) -> WindowSummary:
        """Return the summary; without a reference, or below the least number of decided images, it carries no divergence."""
        window = closed.window
        known = self.references.of(tenant)
        current_reference = reference_current = None
        if known is not None and window.counts.total() >= self.min_images:
            reference = known.over(window.counts)
            current = smoothed_shares(window.counts, reference)
            current_reference = round(kl_nats(current, reference), DIGITS)
            reference_current = round(kl_nats(reference, current), DIGITS)
        return WindowSummary(
            window_id=outcome_id("window", tenant, str(window.start_ms), str(window.size_ms)),
            tenant=tenant,
            start=_instant(window.start_ms),
            end=_instant(window.end_ms),
            images=window.images,
            counts=dict(window.counts),
            probability_sums={name: total / MICRO for name, total in window.micro_probabilities.items()},
            verdicts=dict(window.verdicts),
            undecided=window.undecided,
            late=closed.late,
            reference=dict(known.shares) if known is not None else None,
            kl_current_reference_nats=current_reference,
            kl_reference_current_nats=reference_current,
            model_versions=tuple(sorted(window.models)),
        )

    def alert(self, summary: WindowSummary) -> DriftAlert | None:
        """Return the alert that the summary calls for, or None."""
        value = summary.kl_current_reference_nats
        known = self.references.of(summary.tenant)
        if value is None or value <= self.threshold or known is None:
            return None
        decided = sum(summary.counts.values())
        reference = known.over(summary.counts)
        shares = {name: round(summary.counts.get(name, 0) / decided, DIGITS) for name in reference}
        growth = {name: share - reference[name] for name, share in shares.items()}
        return DriftAlert(
            alert_id=outcome_id("drift-alert", summary.window_id, "kl_current_reference_nats"),
            window_id=summary.window_id,
            tenant=summary.tenant,
            start=summary.start,
            end=summary.end,
            images=summary.images,
            value=value,
            threshold=self.threshold,
            most_grown=max(growth, key=growth.__getitem__),
            most_shrunk=min(growth, key=growth.__getitem__),
            shares=shares,
            reference={name: round(share, DIGITS) for name, share in reference.items()},
        )


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
