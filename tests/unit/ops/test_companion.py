"""The page beside the windows: there unless it is switched off, with the rights that are printed for it and no more."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import orjson
from support.verdicts import CLASSES

from schemas.label import Label, Labelled
from streams.broker_access import kafka_acls, page_needs
from streams.drift.companions import Surroundings, companions
from streams.drift.metrics import DriftMetrics
from streams.labels.book import LabelBook
from streams.ops.companion import OpsPage
from streams.ops.feed import Feed
from streams.ops.snapshot import Snapshots, View
from streams.settings import KafkaSettings, OpsSettings, Settings

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


async def test_the_page_is_there_unless_it_is_switched_off() -> None:
    """`ops.enabled` is true by default."""
    for settings, there in ((Settings(), True), (Settings(ops=OpsSettings(enabled=False)), False)):
        found = companions(Surroundings(settings, DriftMetrics()))
        assert any(isinstance(one, OpsPage) for one in found) is there


def test_it_asks_for_the_topics_that_it_reads() -> None:
    """Four topics to read, nothing to write, and no group of its own: it joins none."""
    lines = kafka_acls(page_needs(KafkaSettings(drift_group="d")), "User:d", "kafka:9092")
    assert [line.split("--operation ")[1] for line in lines] == [
        "Read --topic deeptrace.windows.v1 --topic deeptrace.drift-alerts.v1 --topic deeptrace.verdicts.v1 --topic deeptrace.images.v1.dlq",
        "Read --group d",
    ]


def test_the_drift_worker_loads_no_model_for_it() -> None:
    """Neither torch nor an image library is imported before somebody asks for a picture."""
    script = "import sys, streams.ops.companion; print([name for name in ('torch', 'timm', 'PIL', 'faust') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def a_book() -> LabelBook:
    """Return a book with one label: FLUX was said, and it was right."""
    book = LabelBook(since=NOW - timedelta(days=1))
    label = Label(
        outcome_id="o1",
        tenant="acme",
        image_id="i1",
        label="correct",
        true_source="flux",
        reviewer="a" * 16,
        labelled_at=NOW,
    )
    book.take(
        Labelled(
            label=label,
            verdict="ai_generated",
            predicted_source="flux",
            classes=CLASSES,
            model_version="m",
            calibration_id="c",
            event_time=NOW,
        )
    )
    return book


def test_labels_are_shown_by_class_with_intervals() -> None:
    """Precision and recall of a tenant that has labels; a tenant without has none."""
    feed = Feed(history_ms=3_600_000, latest_verdicts=1, clock=NOW.timestamp)
    snapshots = Snapshots(feed, lambda _: None, name="x", threshold=0.25, no_pictures=None, labels=a_book())
    labels = orjson.loads(snapshots.state(View("acme")))["labels"]
    assert labels["outcomes"] == 1
    flux = next(row for row in labels["rows"] if row["name"] == "flux")
    assert flux == {"name": "flux", "precision": [1.0, 0.2065, 1.0], "recall": [1.0, 0.2065, 1.0], "labelled": 1}
    assert orjson.loads(snapshots.state(View("globex")))["labels"] is None
