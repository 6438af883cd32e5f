"""The order of writes: whatever write or publication a crash falls on, windows come out exact and are never said differently."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigError
from schemas.window import Observation
from streams.drift.keeper import Arrival, Change, WindowKeeper
from streams.drift.metrics import DriftMetrics
from streams.drift.records import Closing, segment_key, tenant_key
from streams.drift.reference import FixedReferences, Reference
from streams.drift.summary import Judge
from streams.drift.windows import WindowRules

RULES = WindowRules(size_ms=10_000, lateness_ms=5_000, max_future_ms=60_000, max_past_ms=3_600_000, idle_ms=3_000)
JUDGE = Judge(FixedReferences(Reference({"real": 0.9, "flux": 0.1})), threshold=0.25, min_images=2)


class Crash(Exception):
    """The process died."""


@dataclass
class World:
    """What outlives a worker: the table, the windows topic and the committed position. It dies after `lives` durable steps."""

    table: dict[bytes, Change] = field(default_factory=dict)
    published: list[Closing] = field(default_factory=list)
    committed: int = 0
    now_s: float = 2000.0
    lives: float = float("inf")

    def scan(self) -> list[Change]:
        return list(self.table.values())

    async def write(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self.step()
            if change.value is None:
                self.table.pop(change.key, None)
            else:
                self.table[change.key] = change

    async def publish(self, tenant: str, closing: Closing) -> None:
        self.step()
        self.published.append(closing)

    def step(self) -> None:
        self.lives -= 1
        if self.lives < 0:
            raise Crash

    def worker(self, judge: Judge = JUDGE, rules: WindowRules = RULES) -> WindowKeeper:
        """A fresh process over what is left of the one before."""
        return WindowKeeper(
            self, self.publish, rules=rules, judge=judge, metrics=DriftMetrics(), clock=lambda: self.now_s
        )

    def summaries(self) -> list[dict]:
        return [orjson.loads(closing.summary) for closing in self.published]


def arrivals(observations: Sequence[Observation]) -> list[Arrival]:
    """The records of one partition, written at second 2000."""
    return [Arrival(0, offset, 2_000_000, one) for offset, one in enumerate(observations)]


async def test_one_record_a_tenant_and_batch(observe) -> None:
    """A batch costs each tenant one record and one segment of ids, however many images it has."""
    world = World(lives=4)
    batch = arrivals([observe(1995 + at / 100, tenant=tenant) for at in range(100) for tenant in ("acme", "other")])
    await world.worker().apply(batch)
    assert set(world.table) == {
        tenant_key("acme"),
        tenant_key("other"),
        segment_key("acme", 1_990_000, 0),
        segment_key("other", 1_990_000, 0),
    }


async def test_a_restarted_worker_goes_on(observe) -> None:
    """What was applied is in the table: the next worker counts on, and recognises repeats."""
    world = World()
    await world.worker().apply(arrivals([observe(1995, outcome_id="a")]))
    worker = world.worker()
    await worker.recover()
    await worker.apply(arrivals([observe(1995, outcome_id="a"), observe(1996, outcome_id="a"), observe(1997)]))
    world.now_s = 2100
    await worker.tick()
    assert [one["images"] for one in world.summaries()] == [2]


async def test_a_closed_window_leaves_the_table(observe) -> None:
    """Its ids are deleted; the tenant's record stays, since it knows what is late."""
    world = World()
    worker = world.worker()
    await worker.apply(arrivals([observe(1995)]))
    world.now_s = 2100
    await worker.tick()
    assert set(world.table) == {tenant_key("acme")}


async def test_a_tenant_that_is_gone_leaves_the_table(observe) -> None:
    """When nothing of it could count any more, its record is deleted."""
    world = World()
    worker = world.worker()
    await worker.apply(arrivals([observe(1995)]))
    for world.now_s in (2100, 2000 + 3600 + 1):
        await worker.tick()
    assert world.table == {}


async def test_a_summary_is_followed_by_its_alert(observe) -> None:
    """One closing carries both; the alert names the summary's window."""
    world = World(now_s=2000)
    worker = world.worker()
    await worker.apply(arrivals([observe(1995 + at / 10) for at in range(10)]))
    world.now_s = 2100
    await worker.tick()
    (closing,) = world.published
    assert closing.alert is not None
    assert orjson.loads(closing.alert)["window_id"] == orjson.loads(closing.summary)["window_id"]


async def test_what_was_decided_is_said_again_word_for_word(observe) -> None:
    """After a crash between publishing and forgetting, the same bytes are published, even under another reference."""
    world = World()
    worker = world.worker()
    await worker.apply(arrivals([observe(1995), observe(1996)]))
    world.now_s = 2100
    world.lives = 2  # the record with what is decided, and the publication
    with pytest.raises(Crash):
        await worker.tick()
    world.lives = float("inf")
    await world.worker(judge=Judge(FixedReferences(None), 9.0, 9)).recover()
    first, again = world.published
    assert first == again


async def test_a_tenant_in_two_partitions_is_refused(observe) -> None:
    """Half of its images would be missing from each window; the worker says so instead."""
    worker = World().worker()
    await worker.apply([Arrival(0, 0, 2_000_000, observe(1995))])
    with pytest.raises(ConfigError, match="partitions 0 and 1"):
        await worker.apply([Arrival(1, 0, 2_000_000, observe(1996))])


async def run_with_crashes(world: World, records: list[Arrival], draw: random.Random) -> None:
    """Read `records` to the end and wait for silence, with a fresh worker after each crash."""
    while True:
        world.lives = draw.choice([draw.randrange(30), draw.randrange(30), float("inf")])
        worker = world.worker()
        try:
            await worker.recover()
            while world.committed < len(records):
                end = min(len(records), world.committed + draw.randrange(1, 12))
                world.now_s += draw.choice([0.1, 4])
                await worker.apply(records[world.committed : end])
                world.committed = end if draw.random() < 0.8 else world.committed  # a commit may be lost
                await worker.tick()
            world.now_s += 10
            await worker.tick()
        except Crash:
            continue
        return


def made_up(draw: random.Random, count: int) -> list[Observation]:
    """Observations of `count` images in 90 s, in the order of their events."""
    return [
        Observation(
            outcome_id=f"id-{index}",
            tenant="acme",
            event_time=at_s,
            verdict="real",
            predicted_source=draw.choice(["flux", "real", None]),
            model_version="m",
        )
        for index, at_s in enumerate(sorted(draw.randrange(1900, 1990) for _ in range(count)))
    ]


def nearly_in_order(draw: random.Random, observations: Sequence[Observation]) -> list[Observation]:
    """The same in another order, none further behind than the lateness allows."""
    return sorted(observations, key=lambda one: one.event_time.timestamp() + draw.uniform(0, 4.9))


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 80))
async def test_crashes_anywhere_change_no_window(seed, count) -> None:
    """Dying after any write or publication, any number of times, with repeated verdicts: windows equal a recount."""
    draw = random.Random(seed)
    images = made_up(draw, count)
    world = World()
    await run_with_crashes(world, arrivals(nearly_in_order(draw, images + draw.choices(images, k=count // 4))), draw)
    said = {one["start"]: one for one in world.summaries()}
    assert len({closing.summary for closing in world.published}) == len(said)
    recount = Counter(one.event_time.timestamp() // 10 * 10 for one in images)
    assert sorted(one["images"] for one in said.values()) == sorted(recount.values())
    assert sum(one["late"] for one in said.values()) == 0
    assert [key for key in world.table if key.startswith(b'["ids"')] == []


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 80))
async def test_crashes_with_stragglers_say_no_window_differently(seed, count) -> None:
    """In whatever order images come: a window has one summary, and each image is counted or late, once."""
    draw = random.Random(seed)
    images = made_up(draw, count)
    with_stragglers = sorted(images, key=lambda one: one.event_time.timestamp() + draw.choice([0, 0, 30]))
    world = World()
    await run_with_crashes(world, arrivals(with_stragglers), draw)
    said = {one["window_id"]: one for one in world.summaries()}
    assert len({closing.summary for closing in world.published}) == len(said)
    still_late = orjson.loads(world.table[tenant_key("acme")].value or b"")["late"]
    assert sum(one["images"] + one["late"] for one in said.values()) + still_late == count
