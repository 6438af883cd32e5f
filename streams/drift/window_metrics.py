"""The latest closed window of each kind, as gauges: of all tenants together, and of the few tenants that an operator names."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Gauge

from schemas.verdict import REAL
from schemas.window import OVERALL, Correction, Divergences, Estimate, WindowSummary
from streams.bounded_names import BoundedNames

MAX_SOURCES = 32
STATUSES: Final[tuple[str, ...]] = (*get_args(Correction.model_fields["status"].annotation), "none")
STATISTICS: Final = ("kl_current_reference_nats", "kl_reference_current_nats", "js_distance", "psi")
WINDOW = ("tenant", "window")


class WindowMetrics:
    """Shows what the summaries of closed windows say. Labels are bounded, whatever the summaries name."""

    def __init__(self, registry: CollectorRegistry, *, tenants: Collection[str] = ()) -> None:
        """Show the windows over all tenants (`*`), and those of `tenants`: any other tenant is no label."""
        self._tenants = frozenset((OVERALL, *tenants))
        self._source = BoundedNames(MAX_SOURCES)
        self._ends: dict[tuple[str, str], datetime] = {}
        self._drifting: set[tuple[str, str]] = set()
        self.episodes = Gauge(
            "deeptrace_drift_episodes_active",
            "Episodes that go on, over all tenants and kinds of windows, in windows that this worker has closed.",
            registry=registry,
        )
        self.episodes.set_function(lambda: len(self._drifting))
        self.end = Gauge(
            "deeptrace_drift_window_end_timestamp_seconds",
            "End of the latest closed window, in event time.",
            WINDOW,
            registry=registry,
        )
        self.latest_images = Gauge(
            "deeptrace_drift_window_latest_images", "Images of the latest closed window.", WINDOW, registry=registry
        )
        self.share = Gauge(
            "deeptrace_drift_window_share",
            "Share of each source in the latest closed window. `kind`: `raw` of the decided; `corrected` for prevalence, with its 95 % interval from `low` to `high`; `reference`.",
            [*WINDOW, "source", "kind"],
            registry=registry,
        )
        self.ai_share = Gauge(
            "deeptrace_drift_window_ai_share",
            "Share of all sources but photographs in the latest closed window; `kind` as for each source.",
            [*WINDOW, "kind"],
            registry=registry,
        )
        self.verdict_share = Gauge(
            "deeptrace_drift_window_verdict_share",
            "Share of each verdict in the latest closed window, withheld ones included.",
            [*WINDOW, "verdict"],
            registry=registry,
        )
        self.correction = Gauge(
            "deeptrace_drift_correction",
            "1 for what the correction of the latest closed window has come to, else 0; `void`: its answers come from no mix of the known classes.",
            [*WINDOW, "status"],
            registry=registry,
        )
        self.statistic = Gauge(
            "deeptrace_drift_statistic",
            "How far the latest closed window is from its reference: `bound` is `value`, or the `low` or `high` end of its 95 % interval.",
            [*WINDOW, "statistic", "bound"],
            registry=registry,
        )
        self.episode = Gauge(
            "deeptrace_drift_episode_active",
            "1 from the alert that is raised until it is resolved, else 0.",
            WINDOW,
            registry=registry,
        )
        self._of_windows = (
            self.end,
            self.latest_images,
            self.share,
            self.ai_share,
            self.verdict_share,
            self.correction,
            self.statistic,
            self.episode,
        )

    def show(self, summary: WindowSummary) -> None:
        """Show `summary` in the place of the last of its kind; one that is older than that, or of a tenant without a label, is left out."""
        place = summary.tenant, summary.window or "none"
        (self._drifting.add if _goes_on(summary.divergences) else self._drifting.discard)(place)
        if summary.tenant not in self._tenants:
            return
        if self._ends.get(place, summary.end) > summary.end:
            return
        self._ends[place] = summary.end
        for gauge in self._of_windows:  # a class that is gone must not stay with its last share
            gauge.remove_by_labels(dict(zip(WINDOW, place, strict=True)))
        self.end.labels(*place).set(summary.end.timestamp())
        self.latest_images.labels(*place).set(summary.images)
        for verdict, images in summary.verdicts.items():
            self.verdict_share.labels(*place, verdict).set(images / max(1, summary.images))
        self._shares(place, "raw", summary.raw_shares)
        self._shares(place, "reference", summary.reference)
        self._correction(place, summary.correction)
        self._divergences(place, summary.divergences)

    def forget(self) -> None:
        """Show nothing: the partitions were taken away, and with them the windows, which another worker may close now."""
        self._ends.clear()
        self._drifting.clear()
        for gauge in self._of_windows:
            gauge.clear()

    def drop(self, tenant: str) -> None:
        """Count no episode of a tenant of whom nothing is kept any more."""
        self._drifting = {place for place in self._drifting if place[0] != tenant}

    def _shares(self, place: tuple[str, str], kind: str, shares: Mapping[str, float] | None) -> None:
        if not shares:
            return
        for source, share in shares.items():
            self.share.labels(*place, self._source(source), kind).inc(share)  # several may be `other`
        self.ai_share.labels(*place, kind).set(max(0.0, 1.0 - shares.get(REAL, 0.0)))

    def _correction(self, place: tuple[str, str], correction: Correction | None) -> None:
        status = correction.status if correction is not None else "none"
        for name in STATUSES:
            self.correction.labels(*place, name).set(name == status)
        if correction is None or correction.shares is None:
            return
        for kind, bound in (("corrected", "value"), ("low", "low"), ("high", "high")):
            for source, estimate in correction.shares.items():
                self.share.labels(*place, self._source(source), kind).inc(getattr(estimate, bound))
            if correction.ai is not None:
                self.ai_share.labels(*place, kind).set(getattr(correction.ai, bound))

    def _divergences(self, place: tuple[str, str], divergences: Divergences | None) -> None:
        self.episode.labels(*place).set(_goes_on(divergences))
        if divergences is None:
            return
        for statistic in STATISTICS:
            estimate: Estimate = getattr(divergences, statistic)
            for bound in ("value", "low", "high"):
                self.statistic.labels(*place, statistic, bound).set(getattr(estimate, bound))


def _goes_on(divergences: Divergences | None) -> bool:
    """Whether an episode goes on after the window, be it that the window itself has too few images to say anything."""
    if divergences is None:
        return False
    return divergences.state == "drifting" or (divergences.state == "too_few" and divergences.episode_id is not None)
