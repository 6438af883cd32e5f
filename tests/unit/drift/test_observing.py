"""Batches of verdicts: what cannot be read is counted by its reason and holds up nothing."""

import asyncio
from dataclasses import dataclass

import orjson
import pytest

from schemas.observations import ObservationBatch
from streams.drift.metrics import DriftMetrics
from streams.drift.observing import Observing
from streams.settings import DriftSettings

NOW_S = 1_767_268_800.0
VERDICT = {
    "schema": "deeptrace.verdict/1",
    "outcome_id": "o1",
    "tenant": "acme",
    "object": {"bucket": "b", "key": "k"},
    "verdict": "real",
    "predicted_source": "real",
    "per_class_probs": {"real": 0.75, "flux": 0.25},
    "model": {"version": "m1", "calibration_id": "c", "classes": ["real", "flux"]},
    "source": {"event_time": "2026-01-01T12:00:00Z"},
}


@dataclass
class Record:
    """A record of the verdicts topic."""

    value: bytes | None
    timestamp: float = NOW_S
    topic: str = "deeptrace.verdicts.v1"
    partition: int = 0
    offset: int = 0


def record(timestamp: float = NOW_S, **changes) -> Record:
    """A verdict with these changes."""
    return Record(orjson.dumps(VERDICT | changes), timestamp)


def at(event_time: str) -> dict:
    """A source with this event time."""
    return {"event_time": event_time}


class Broker:
    """Takes batches, each in its own time."""

    def __init__(self) -> None:
        self.taken: list[ObservationBatch] = []
        self.lets = asyncio.Event()

    async def take(self, batch: ObservationBatch) -> None:
        await self.lets.wait()
        self.taken.append(batch)


def counts(metrics: DriftMetrics, name: str, label: str) -> dict[str, float]:
    """The counters of one metric by label, those that are not zero."""
    return {
        sample.labels[label]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name and sample.value
    }


async def test_bad_verdicts_are_counted_by_name() -> None:
    """Each is told apart from the others, and the good one among them is published."""
    metrics, broker = DriftMetrics(), Broker()
    observing = Observing(DriftSettings(), broker.take, metrics, clock=lambda: NOW_S)
    batches = observing.batches(
        [
            Record(None),
            Record(b"junk"),
            record(schema="deeptrace.verdict/7"),
            record(verdict="perhaps"),
            record(per_class_probs={"real": 0.5, "flux": 0.4}),
            record(outcome_id="o2"),
            record(outcome_id="o3", source=at("1970-01-01T00:00:00Z")),
            record(outcome_id="o4", source=at("2099-01-01T00:00:00Z")),
        ]
    )
    assert [(batch.tenant, batch.count) for batch in batches] == [("acme", 2), ("*", 2)]
    assert counts(metrics, "deeptrace_drift_verdicts_total", "result") == {
        "unreadable": 3,
        "unknown_schema": 1,
        "observed": 4,
        "bad_probabilities": 1,
    }
    assert counts(metrics, "deeptrace_drift_observations_total", "fate") == {"too_far_back": 1, "too_far_ahead": 1}


@pytest.mark.parametrize("timestamp", [-0.001, 0.0, 4e9, NOW_S * 1000])
async def test_a_record_without_a_time_of_its_own_was_written_now(timestamp) -> None:
    """Some producers write no time, microseconds, or have a clock of 2099: the verdict counts all the same."""
    observing = Observing(DriftSettings(), Broker().take, DriftMetrics(), clock=lambda: NOW_S)
    batches = observing.batches([record(timestamp), record(timestamp, outcome_id="o2", source={})])
    assert [(batch.tenant, batch.count) for batch in batches] == [("acme", 2), ("*", 2)]


async def test_thousands_of_verdicts_are_several_batches() -> None:
    """No batch outgrows a record; each image is in one batch of its tenant and in one of all."""
    observing = Observing(DriftSettings(), Broker().take, DriftMetrics(), clock=lambda: NOW_S)
    batches = observing.batches([record(outcome_id=f"o{n}", tenant=f"tenant-{n % 3}") for n in range(3000)])
    assert max(len(batch.to_bytes()) for batch in batches) < 64 * 1024
    assert sum(batch.count for batch in batches if batch.tenant == "*") == 3000
    assert sum(batch.count for batch in batches if batch.tenant != "*") == 3000


async def test_publishing_ends_when_the_broker_has_everything() -> None:
    """Whoever acknowledges the verdicts after it loses none."""
    broker = Broker()
    observing = Observing(DriftSettings(), broker.take, DriftMetrics(), clock=lambda: NOW_S)
    publishing = asyncio.create_task(observing.publish([record()]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not publishing.done()
    broker.lets.set()
    await publishing
    assert [batch.tenant for batch in broker.taken] == ["acme", "*"]
