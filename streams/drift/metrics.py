"""What the drift worker counts. Tenants are no labels: their number is not bounded; the windows topic says what is theirs."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from schemas.window import DriftAlert, Observation, WindowSummary
from streams.drift.windows import Fate

disable_created_metrics()  # type: ignore[no-untyped-call]

_NATS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 1, 2, 5)
_IMAGES = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)


class DriftMetrics:
    """Counters of one drift worker, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.verdicts = Counter(
            "deeptrace_drift_verdicts_total",
            "Verdicts read, by whether an observation was made of them.",
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
        self.windows = Counter("deeptrace_drift_windows_total", "Windows closed.", registry=self.registry)
        self.alerts = Counter("deeptrace_drift_alerts_total", "Drift alerts.", registry=self.registry)
        self.kl_nats = Histogram(
            "deeptrace_drift_kl_nats",
            "KL(current || reference) of closed windows.",
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

    def note(self, observation: Observation, fate: Fate) -> None:
        """Count one observation."""
        self.observations.labels(fate.value).inc()
        if fate is Fate.COUNTED:
            self.images.labels(observation.predicted_source or "undecided").inc()

    def closed(self, summary: WindowSummary, alert: DriftAlert | None) -> None:
        """Count one closed window."""
        self.windows.inc()
        self.window_images.observe(summary.images)
        if summary.kl_current_reference_nats is not None:
            self.kl_nats.observe(summary.kl_current_reference_nats)
        if alert is not None:
            self.alerts.inc()
