"""What both workers count. Names follow Prometheus: `deeptrace_` prefix, base units, bounded labels (never a key or an id)."""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]

STAGES = ("queue", "fetch", "decode", "infer", "overlay", "settle", "publish")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_WAITS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 86400)
_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)


def say_build(registry: CollectorRegistry) -> None:
    """Expose the release of this package."""
    info = Gauge("deeptrace_build_info", "The release that runs; always 1.", ["version"], registry=registry)
    info.labels(version("deeptrace")).set(1)


class LagMetrics:
    """How far a worker is behind on the partitions it has; summed over the workers of a group it is the group's lag."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Gauge(
            "deeptrace_consumer_lag_messages",
            "Messages from the first that this worker has not finished to the end, of each partition it has; offsets of transaction markers count.",
            ["topic", "partition"],
            registry=registry,
        )
        self.seconds = Gauge(
            "deeptrace_consumer_lag_seconds",
            "Age of the oldest message that this worker has not finished, by topic; 0 when nothing is behind. On a retry topic waiting is the purpose.",
            ["topic"],
            registry=registry,
        )
        self.known = Gauge(
            "deeptrace_consumer_lag_known",
            "1 while the broker answers how long its partitions are; else the lag is left out.",
            registry=registry,
        )

    def show(self, topics: Mapping[str, tuple[Mapping[int, int], float]]) -> None:
        """Expose messages by partition, and seconds, of each topic; what this worker no longer has goes."""
        self._clear()
        self.known.set(1)
        for topic, (partitions, seconds) in topics.items():
            self.seconds.labels(topic).set(seconds)
            for partition, messages in partitions.items():
                self.messages.labels(topic, str(partition)).set(messages)

    def unknown(self) -> None:
        """Expose no figure rather than an old one."""
        self._clear()
        self.known.set(0)

    def _clear(self) -> None:
        self.messages.clear()
        self.seconds.clear()


class DecoderRestarts(Collector):
    """A counter that somebody else keeps: it is read at each scrape."""

    def __init__(self) -> None:
        self.read: Callable[[], int] = lambda: 0

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the count as it is now."""
        yield CounterMetricFamily(
            "deeptrace_decoder_restarts", "Decoder processes replaced after a death or timeout.", value=self.read()
        )


class WorkerMetrics:
    """Counters of one scoring worker, in a registry of its own so that tests and workers do not share state."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        say_build(self.registry)
        self.lag = LagMetrics(self.registry)
        self.outcomes = Counter(
            "deeptrace_outcomes_total", "References settled, by kind of outcome.", ["kind"], registry=self.registry
        )
        self.verdicts = Counter(
            "deeptrace_verdicts_total",
            "Verdicts published, by verdict and predicted source.",
            ["verdict", "source"],
            registry=self.registry,
        )
        self.withheld = Counter(
            "deeptrace_withheld_verdicts_total",
            "Verdicts published that say nothing, by reason; one may have several.",
            ["reason"],
            registry=self.registry,
        )
        self.explanations = Counter(
            "deeptrace_explanations_total",
            "Verdicts published, by what became of their overlay: `written`, `skipped` (not wanted), `withheld` (no better than a random map), `failed`.",
            ["status"],
            registry=self.registry,
        )
        self.dead_letters = Counter(
            "deeptrace_dead_letters_total", "Dead letters published, by error code.", ["code"], registry=self.registry
        )
        self.ignored = Counter(
            "deeptrace_ignored_records_total",
            "Records that ask for nothing: test events, deletions, our own overlays.",
            registry=self.registry,
        )
        self.retries = Counter(
            "deeptrace_retries_total", "Waits before another try, by error code.", ["code"], registry=self.registry
        )
        self.settlements = Counter(
            "deeptrace_settlements_total",
            "Outcomes settled in the store: `first` is ours, `stored` was there already (a repeat, or another worker's), `known` was found before judging.",
            ["result"],
            registry=self.registry,
        )
        self.postponed = Counter(
            "deeptrace_postponed_total",
            "References put on a retry topic, by error code.",
            ["code"],
            registry=self.registry,
        )
        self.dropped = Counter(
            "deeptrace_dropped_deliveries_total",
            "Deliveries let go unfinished because their partition was taken away; they are delivered again.",
            registry=self.registry,
        )
        self.paused = Gauge(
            "deeptrace_paused", "1 while the worker takes in nothing, by reason.", ["reason"], registry=self.registry
        )
        self.safe_batch_size = Gauge(
            "deeptrace_safe_batch_size", "Most images judged together just now.", registry=self.registry
        )
        self.stage_seconds = Histogram(
            "deeptrace_stage_duration_seconds",
            "Time one reference spent in a stage.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.end_to_end_seconds = Histogram(
            "deeptrace_end_to_end_seconds",
            "From the time of the upload that the reference names, else from when its record was written, to its outcome on the topic.",
            ["kind"],
            buckets=_WAITS,
            registry=self.registry,
        )
        self.confidence = Histogram(
            "deeptrace_confidence",
            "Calibrated confidence of published verdicts; one that is not assessable has none.",
            ["verdict"],
            buckets=_CONFIDENCE,
            registry=self.registry,
        )
        self._stages = {stage: self.stage_seconds.labels(stage) for stage in STAGES}
        self.batch_size = Histogram(
            "deeptrace_batch_size", "Images judged together.", buckets=_BATCH, registry=self.registry
        )
        self.in_flight = Gauge(
            "deeptrace_inflight_references", "Delivered records not yet settled.", registry=self.registry
        )
        self.model_info = Gauge(
            "deeptrace_model_info",
            "The model that judges; always 1.",
            ["version", "sha256", "kind", "training_data"],
            registry=self.registry,
        )
        self.model_swaps = Counter(
            "deeptrace_model_swaps_total",
            "What became of each move of a followed alias, by role: `swapped`, `same`, or the code of the error that stopped it.",
            ["role", "result"],
            registry=self.registry,
        )
        self.shadow = Counter(
            "deeptrace_shadow_images_total",
            "Images offered to the candidate on trial: `published`, `failed`, or `dropped` for want of time.",
            ["result"],
            registry=self.registry,
        )
        self.shadow_info = Gauge(
            "deeptrace_shadow_model_info",
            "The candidate on trial; 1 while there is one.",
            ["version", "sha256", "kind", "training_data"],
            registry=self.registry,
        )
        self.decoders_sandboxed = Gauge(
            "deeptrace_decoders_sandboxed",
            "1 where decoders can open no file, connection or process; 0 where the platform has no sandbox or it is off.",
            registry=self.registry,
        )
        self._decoder_restarts = DecoderRestarts()
        self.registry.register(self._decoder_restarts)

    def count_decoder_restarts(self, read: Callable[[], int]) -> None:
        """Expose the count that `read` returns; it is called at each scrape and must never fall."""
        self._decoder_restarts.read = read

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Note that a reference spent `seconds` in `stage`."""
        self._stages[stage].observe(seconds)
