"""What the narrator counts."""

from typing import Final, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from streams.metrics import say_build

disable_created_metrics()  # type: ignore[no-untyped-call]

Skip = Literal["not_selected", "old", "repeat", "paused", "budget", "budget_unwritable", "unreadable"]
"""Why a verdict is not asked about. `paused`: the API is left alone after failures; `budget`: the day's tokens are spent."""

WRITTEN: Final = "written"
_SECONDS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


class NarratorMetrics:
    """Counters of one narrator, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        say_build(self.registry)
        self.narratives = Counter(
            "deeptrace_narratives_total",
            "Verdicts that were to be put into words, by what came of it: `written`, or why not.",
            ["result"],
            registry=self.registry,
        )
        self.skipped = Counter(
            "deeptrace_narratives_skipped_total",
            "Verdicts that the API was not asked about, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.tokens = Counter(
            "deeptrace_explain_tokens_total", "Tokens as the API counts them.", ["kind"], registry=self.registry
        )
        self.calls = Histogram(
            "deeptrace_explain_call_duration_seconds",
            "Requests to the API that got an answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.budget_left = Gauge(
            "deeptrace_explain_budget_left_tokens",
            "What is left of the UTC day's tokens, as of the last request.",
            registry=self.registry,
        )
        self.paused = Gauge(
            "deeptrace_narrator_paused", "1 from a pause after failures until the next answer.", registry=self.registry
        )
        self.in_flight = Gauge(
            "deeptrace_narrator_inflight_verdicts",
            "Delivered verdicts not yet acknowledged.",
            registry=self.registry,
        )
        for reason in get_args(Skip):
            self.skipped.labels(reason)
        for kind in ("input", "output"):
            self.tokens.labels(kind)
