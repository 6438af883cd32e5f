"""Which windows get a report in the worker, and what becomes of it. The report process is a double; the store is in memory."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from support import report_children
from support.drift_windows import closed, drifted

from schemas.reference import CurrentReference, DriftReference, ReferenceSource
from storage.memory import MemoryStore
from streams.drift.metrics import DriftMetrics
from streams.drift.reference_shelf import ReferenceShelf
from streams.drift.reports.renderer import Renderer
from streams.drift.reports.writing import ReportWriter
from streams.settings import DriftSettings, Settings

BUCKET = "deeptrace-drift"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
VERSION = "20261120T000000000Z-aaaaaaaa"
NORMAL = {"real": 0.9, "flux": 0.1}
COUNTS = {"real": 50, "flux": 50}


class Writer:
    """A report writer in a world of its own."""

    def __init__(self, serve=report_children.echo) -> None:
        self.store = MemoryStore([BUCKET])
        self.metrics = DriftMetrics()
        self.renderer = Renderer(serve=serve, first_pause_s=0.01)
        self.writer = ReportWriter(
            Settings(drift=DriftSettings(reports=True)),
            self.metrics,
            self.store,
            renderer=self.renderer,
            store_wait_s=0.05,
            now=NOW.timestamp,
        )

    async def take(self, *summaries) -> None:
        """Let windows come, as they lie on the topic."""
        for summary in summaries:
            await self.writer.take(summary.to_bytes())

    def written(self) -> list[str]:
        """Return what was written."""
        return [info.key for info in self.store.list(BUCKET, "reports/")]

    def count(self, result: str) -> float:
        """Return a counter."""
        return self.metrics.reports.labels(result)._value.get()


@pytest.fixture
async def world(request):
    """A world with an echo for a report process, unless the test wants another."""
    made = Writer(getattr(request, "param", report_children.echo))
    yield made
    await made.writer.stop()


def day(tenant: str = "*", **fields):
    return closed(COUNTS, tenant=tenant, window="1d", reference=NORMAL, **fields)


async def test_the_window_that_raises_an_alert_gets_a_report(world):
    """Under its id, where the alert says it will lie; the next windows of the episode get none."""
    first = closed(COUNTS, tenant="acme", reference=NORMAL, divergences=drifted("drifting", "e1"))
    second = closed(COUNTS, tenant="acme", hour=1, reference=NORMAL, divergences=drifted("drifting", "e1"))
    await world.take(first, second)
    assert world.written() == [f"reports/acme/{first.window_id}.html", f"reports/acme/{first.window_id}.json"]
    page = world.store.get(BUCKET, world.written()[0], max_bytes=1000, deadline_s=1).data
    assert page == b"<h1>Drift of tenant acme: window 1h from 2026-11-20T12:00:00.000Z</h1>"
    assert world.count("written") == 1


async def test_a_new_episode_gets_a_report_of_its_own(world):
    """Also of the same tenant."""
    await world.take(
        closed(COUNTS, reference=NORMAL, divergences=drifted("drifting", "e1")),
        closed(COUNTS, hour=2, reference=NORMAL, divergences=drifted("drifting", "e2")),
    )
    assert len(world.written()) == 4


async def test_a_day_of_all_tenants_gets_a_report(world):
    """And so does that of a tenant with a reference of its own, but not that of every tenant."""
    shelf = ReferenceShelf(world.store, BUCKET)
    shelf.put(
        DriftReference(
            version=VERSION,
            tenant="acme",
            made=NOW,
            source=ReferenceSource(kind="windows"),
            shares=NORMAL,
            images=10,
        )
    )
    shelf.use(CurrentReference(tenant="acme", version=VERSION, set_at=NOW))
    await world.take(day(), day("acme"), day("other"))
    assert {key.split("/")[1] for key in world.written()} == {"_all", "acme"}


async def test_a_steady_window_gets_none(world):
    """Nor does one that is three days old, an empty one, one without a reference, or what is no window."""
    await world.take(
        closed(COUNTS, reference=NORMAL, divergences=drifted("steady")),
        day(start=NOW - timedelta(days=9)),
        closed({}, window="1d", reference=NORMAL, undecided=5),
        closed(COUNTS, window="1d", hour=1),
    )
    await world.writer.take(b"{")
    await world.writer.take(None)
    assert world.written() == []


@pytest.mark.parametrize("world", [report_children.dies], indirect=True)
async def test_a_report_that_kills_its_process_is_left_out_after_three_tries(world):
    """It is counted, and the next window is taken."""
    await world.take(day())
    assert world.written() == []
    assert world.count("report_failed") == 1


async def test_while_the_store_is_away_the_report_waits(world):
    """It is rendered once and put when the store is back."""
    with world.store.outage():
        task = asyncio.create_task(world.take(day()))
        while world.count("waiting") == 0:
            await asyncio.sleep(0.01)
    await task
    assert len(world.written()) == 2
    assert world.count("written") == 1


async def test_the_day_of_a_tenant_waits_for_the_store_too(world):
    """Whether the tenant has a reference of its own is not known before; its report is not lost over that."""
    shelf = ReferenceShelf(world.store, BUCKET)
    shelf.use(CurrentReference(tenant="acme", version=VERSION, set_at=NOW))
    with world.store.outage():
        task = asyncio.create_task(world.take(day("acme")))
        while world.count("waiting") == 0:
            await asyncio.sleep(0.01)
    await task
    assert {key.split("/")[1] for key in world.written()} == {"acme"}
