"""What reviewers' labels come to, for Prometheus. Sources are the classes of the models that judged; tenants and reviewers are no labels."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from streams.bounded_names import BoundedNames
from streams.labels.book import LabelBook
from streams.labels.judging import STATUSES
from streams.labels.tally import Rate

BOUNDS: Final = ("value", "low", "high")
MAX_SOURCES: Final = 64


class LabelMetrics:
    """Counters of the join in one worker, and gauges over all labels of the window, which are the same in every worker."""

    def __init__(self, registry: CollectorRegistry, book: LabelBook) -> None:
        self.labels = Counter(
            "deeptrace_labels_total",
            "Labels read, by what became of them: `joined`, or why not.",
            ["result"],
            registry=registry,
        )
        self.waits = Counter(
            "deeptrace_label_waits_total",
            "Waits for an outcome, the store or the broker, by code.",
            ["code"],
            registry=registry,
        )
        self.unfinished = Gauge(
            "deeptrace_labels_unfinished", "Labels read and not yet joined or given up.", registry=registry
        )
        self.on = Gauge(
            "deeptrace_labels_on", "1 while this worker joins labels; the log says why it does not.", registry=registry
        )
        left_out = Gauge(
            "deeptrace_labels_left_out",
            "Labels that this worker has dropped since its start, being the oldest of too many.",
            registry=registry,
        )
        left_out.set_function(lambda: book.left_out)
        registry.register(_Rates(book))


class _Rates(Collector):
    """Asks the book at each scrape, so that a class without labels has no gauge."""

    def __init__(self, book: LabelBook) -> None:
        self._book = book
        self._source = BoundedNames(MAX_SOURCES)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        precision = GaugeMetricFamily(
            "deeptrace_label_precision_ratio",
            "Share of a source's labelled verdicts that reviewers called right, with the ends of its 95 % interval.",
            labels=["source", "bound"],
        )
        recall = GaugeMetricFamily(
            "deeptrace_label_recall_ratio",
            "Share of the labelled images of a source that were called so, with the ends of its 95 % interval; of labelled ones only.",
            labels=["source", "bound"],
        )
        for row in self._book.rows():
            if (source := self._source(row.source)) != row.source:
                continue  # one too many, and rates of several cannot be added up
            for family, rate in ((precision, row.precision), (recall, row.recall)):
                if rate.of:
                    for bound, value in zip(BOUNDS, _ends(rate), strict=True):
                        family.add_metric([source, bound], value)
        outcomes = GaugeMetricFamily(
            "deeptrace_labelled_outcomes",
            "Outcomes with a label in the window: counted, or set aside.",
            labels=["status"],
        )
        statuses = self._book.tally().statuses
        for status in STATUSES:
            outcomes.add_metric([status], statuses[status])
        yield from (precision, recall, outcomes)


def _ends(rate: Rate) -> tuple[float, float, float]:
    return rate.count / rate.of, rate.low, rate.high
