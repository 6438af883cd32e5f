"""When a drift worker joins labels."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.labels import NOON, label, labelled

from streams.labels.book import LabelBook
from streams.labels.companion import Labels
from streams.labels.metrics import LabelMetrics
from streams.labels.switch import why_off
from streams.settings import Settings

KEY = {"store": {"access_key": "k", "secret_key": "s"}}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (KEY, None),
        ({"store": {"write_access_key": "k", "write_secret_key": "s"}}, None),
        ({}, "no key to the object store"),
        (KEY | {"pipeline": {"outcomes": "at_least_once"}}, "no archive"),
        (KEY | {"labels": {"enabled": False}}, "LABELS__ENABLED"),
    ],
)
def test_labels_need_an_archive_and_a_key_to_it(settings, why):
    """Where they are off it is said why."""
    said = why_off(Settings.model_validate(settings))
    assert said is None if why is None else why in said


async def test_a_worker_without_a_key_to_the_store_starts_all_the_same():
    """It has no labels, and says so; nothing is connected to."""
    labels = Labels(Settings(), CollectorRegistry())
    await labels.start()
    assert "no key to the object store" in labels.off
    await labels.stop()


async def test_a_worker_whose_broker_is_away_waits_and_ends_when_told():
    """A companion never raises."""
    away = Settings.model_validate(KEY | {"kafka": {"bootstrap_servers": "127.0.0.1:1"}})
    labels = Labels(away, CollectorRegistry())
    await labels.start()
    await labels.stop()
    assert labels.book.labels == 0


def test_a_class_without_labels_has_no_gauge():
    """One whose labels have expired has none any more; tenants are no labels."""
    registry, book = CollectorRegistry(), LabelBook(since=NOON)
    LabelMetrics(registry, book)
    book.take(labelled(label(tenant="zoo")))
    text = generate_latest(registry).decode()
    assert 'deeptrace_label_precision_ratio{bound="value",source="flux"} 1.0' in text
    assert 'deeptrace_label_recall_ratio{bound="low",source="flux"} 0.206' in text
    assert "zoo" not in text
    book.forget_before(NOON.replace(hour=13))
    assert 'source="flux"' not in generate_latest(registry).decode()


def test_what_the_models_name_does_not_make_series_without_end():
    """The first 64 sources have gauges."""
    registry, book = CollectorRegistry(), LabelBook(since=NOON)
    LabelMetrics(registry, book)
    for number in range(100):
        book.take(labelled(label(number), predicted_source=f"class-{number:03}"))
    text = generate_latest(registry).decode()
    assert text.count('deeptrace_label_precision_ratio{bound="value"') == 64
