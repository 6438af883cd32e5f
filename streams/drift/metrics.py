"""What the drift worker counts. Tenants are no labels: their number is not bounded; the windows topic says what is theirs."""

from collections.abc import Iterable, Mapping

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from schemas.errors import ReportFailed
from schemas.window import OVERALL, DriftAlert, WindowSummary
from streams.bounded_names import BoundedNames
from streams.drift.rows import Rows
from streams.drift.window_metrics import MAX_SOURCES, WindowMetrics
from streams.drift.windows import Fate
from streams.metrics import LagMetrics, say_build
from streams.settings import DriftSettings

disable_created_metrics()  # type: ignore[no-untyped-call]

_NATS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 1, 2, 5)
_IMAGES = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)


class DriftMetrics:
    """Counters of one drift worker, in a registry of its own."""

    def __init__(self, drift: DriftSettings | None = None) -> None:
        """Take the settings, by default the default ones: which tenants are labels, and the threshold that is shown."""
        drift = drift or DriftSettings()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        say_build(self.registry)
        self.lag = LagMetrics(self.registry)
        self.latest = WindowMetrics(self.registry, tenants=drift.metric_tenants)
        self._source = BoundedNames(MAX_SOURCES)
        self.verdicts = Counter(
            "deeptrace_drift_verdicts_total",
            "Verdicts read: `observed`, or why they are not; `bad_probabilities` were observed without theirs.",
            ["result"],
            registry=self.registry,
        )
        self.observations = Counter(
            "deeptrace_drift_observations_total",
            "Observations, by what became of them; only `counted` entered a window.",
            ["fate"],
            registry=self.registry,
        )
        self.images = Counter(
            "deeptrace_drift_images_total",
            "Images counted in windows, by predicted source.",
            ["source"],
            registry=self.registry,
        )
        self.windows = Counter(
            "deeptrace_drift_windows_total", "Windows closed, by kind.", ["window"], registry=self.registry
        )
        self.alerts = Counter(
            "deeptrace_drift_alerts_total",
            "Drift alerts of all tenants, by kind of window: one `raised` and one `resolved` an episode.",
            ["window", "state"],
            registry=self.registry,
        )
        self.candidates = Counter(
            "deeptrace_drift_candidates_total",
            "Generators that the model was not taught, perhaps: clusters of rejected images in closed windows.",
            ["window"],
            registry=self.registry,
        )
        self.corrections = Counter(
            "deeptrace_drift_corrections_total",
            "Closed windows of all tenants, by what their correction for prevalence has come to.",
            ["window", "status"],
            registry=self.registry,
        )
        self.threshold = Gauge(
            "deeptrace_drift_threshold_nats",
            "KL(current || reference) that raises an alert when the whole interval is above it.",
            registry=self.registry,
        )
        self.threshold.set(drift.threshold)
        self.kl_nats = Histogram(
            "deeptrace_drift_kl_nats",
            "Divergence of closed windows from their reference, on raw counts; `direction` is `current_reference` or `reference_current`.",
            ["direction", "window"],
            buckets=_NATS,
            registry=self.registry,
        )
        self.window_images = Histogram(
            "deeptrace_drift_window_images",
            "Images of closed windows.",
            buckets=_IMAGES,
            registry=self.registry,
        )
        self.table_writes = Counter(
            "deeptrace_drift_table_writes_total", "Records written to the table's changelog.", registry=self.registry
        )
        self.batch_records = Histogram(
            "deeptrace_drift_batch_records",
            "Observations applied together.",
            buckets=(1, 4, 16, 64, 256, 1024),
            registry=self.registry,
        )
        self.tenants = Gauge("deeptrace_drift_tenants", "Tenants this worker keeps.", registry=self.registry)
        self.open_windows = Gauge(
            "deeptrace_drift_open_windows", "Windows open in this worker.", registry=self.registry
        )
        self.in_flight = Gauge(
            "deeptrace_drift_inflight_records", "Delivered records not yet acknowledged.", registry=self.registry
        )
        self.retries = Counter(
            "deeptrace_drift_retries_total", "Waits for a dependency, by error code.", ["code"], registry=self.registry
        )
        self.references = Gauge(
            "deeptrace_drift_references", "Stored references in use that this worker knows.", registry=self.registry
        )
        self.reference_reads = Counter(
            "deeptrace_drift_reference_reads_total",
            "Looks at the stored references, by result: `ok`, or the code of the error; what is known stays.",
            ["result"],
            registry=self.registry,
        )
        self.reports = Counter(
            "deeptrace_drift_reports_total",
            "Drift reports, by what became of them: `written`, or why not.",
            ["result"],
            registry=self.registry,
        )
        self.notices = Counter(
            "deeptrace_drift_notices_total",
            "Notices to Slack, by result: `sent`, `digest` (told within one message for several), `repeat`, `dropped`; `waiting`: a try that failed.",
            ["result"],
            registry=self.registry,
        )
        self.notices_waiting = Gauge(
            "deeptrace_drift_notices_waiting", "Notices that Slack has not taken yet.", registry=self.registry
        )
        self._begin_at_zero(drift.windows)

    def _begin_at_zero(self, windows: Iterable[str]) -> None:
        """Expose what alerts go by before it happens: a counter that appears with its first count has not increased for Prometheus."""
        for fate in Fate:
            self.observations.labels(fate.value)
        for result in ("written", ReportFailed.code):
            self.reports.labels(result)
        for result in ("sent", "digest", "dropped"):
            self.notices.labels(result)
        for window in windows:
            self.windows.labels(window)
            self.candidates.labels(window)
            for state in ("raised", "resolved"):
                self.alerts.labels(window, state)

    def note(self, tenant: str, fates: Mapping[Fate, int], counted: Iterable[Rows]) -> None:
        """Count what became of a batch of observations; each image once, so those over all tenants are left out."""
        if tenant == OVERALL:
            return
        for fate, images in fates.items():
            self.observations.labels(fate.value).inc(images)
        for rows in counted:
            totals = np.bincount(rows.table["source"], minlength=len(rows.sources) + 1).tolist()
            for source, images in zip(("undecided", *rows.sources), totals, strict=True):
                if images:
                    self.images.labels(self._source(source)).inc(images)

    def closed(self, summary: WindowSummary, alerts: Iterable[DriftAlert] = ()) -> None:
        """Count one closed window, and show it where it is the latest of its kind."""
        window = summary.window or "none"
        self.windows.labels(window).inc()
        self.window_images.observe(summary.images)
        for direction in ("current_reference", "reference_current"):
            kl_nats: float | None = getattr(summary, f"kl_{direction}_nats")
            if kl_nats is not None:
                self.kl_nats.labels(direction, window).observe(kl_nats)
        self.corrections.labels(window, summary.correction.status if summary.correction else "none").inc()
        if summary.candidates:
            self.candidates.labels(window).inc(len(summary.candidates))
        for alert in alerts:
            self.alerts.labels(window, alert.state).inc()
        self.latest.show(summary)
