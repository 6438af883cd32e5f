"""The order of writes: whatever write or publication a crash falls on, windows come out exact and are never said differently."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.observed import SIZES, rows_of, rules, seen

from schemas.errors import ConfigError
from schemas.window import OVERALL
from streams.drift.aggregate import aggregate_of
from streams.drift.episodes import EpisodeRules
from streams.drift.judge import WindowJudge
from streams.drift.keeper import Arrival, Change, TenantLimits, WindowKeeper
from streams.drift.metrics import DriftMetrics
from streams.drift.profiles import Profiles
from streams.drift.records import Closing, segment_key, tenant_key
from streams.drift.reference import FixedReferences, Reference
from streams.drift.summary import Words, counted
from streams.drift.windows import CLOSED_AT_ONCE, MAX_OPEN_PANES, ClosedWindow, WindowRules

RULES = rules("10s")
JUDGE = WindowJudge(
    FixedReferences(Reference({"real": 0.9, "flux": 0.1})),
    Profiles({}),
    EpisodeRules(threshold=0.25, clear_ratio=0.6, clear_windows=2, min_images=2),
    pane="10s",
)


class CountingJudge:
    """Says what was counted, and how many windows it judged before: whoever judges anew says something else."""

    def __init__(self, name: str = "first") -> None:
        self.name = name

    def judge(self, tenant: str, closed: ClosedWindow, memory: dict) -> tuple[Words, dict]:
        said = counted(tenant, closed).model_copy(update={"model_versions": (self.name, str(memory.get("judged", 0)))})
        return Words(said), {"judged": memory.get("judged", 0) + 1}


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
    writes: int = 0
    largest: int = 0

    def scan(self) -> list[Change]:
        return list(self.table.values())

    async def write(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self.step()
            self.writes += 1
            self.largest = max(self.largest, len(change.value or b""))
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

    def worker(self, judge=None, of: WindowRules = RULES, *, tenants: int = 100) -> WindowKeeper:
        """A fresh process over what is left of the one before."""
        return WindowKeeper(
            self,
            self.publish,
            rules=of,
            limits=TenantLimits(tenants, max_past_ms=3_600_000),
            judge=judge or CountingJudge(),
            metrics=DriftMetrics(),
            clock=lambda: self.now_s,
        )

    def summaries(self) -> list[dict]:
        return [orjson.loads(closing.summary) for closing in self.published]


def arrival(offset: int, *images, tenant: str = "acme", partition: int = 0) -> Arrival:
    """A record of the observations topic, written at second 2000."""
    return Arrival(partition, offset, 2_000_000, tenant, rows_of(images))


async def test_one_record_a_tenant_and_batch() -> None:
    """A batch costs each tenant one record and one segment of rows, however many images it has."""
    world = World(lives=4)
    images = [seen(1995 + at / 100) for at in range(100)]
    await world.worker().apply([arrival(0, *images), arrival(1, *images, tenant="other")])
    assert set(world.table) == {
        tenant_key("acme"),
        tenant_key("other"),
        segment_key("acme", 1_990_000, 0),
        segment_key("other", 1_990_000, 0),
    }


async def test_a_restarted_worker_goes_on() -> None:
    """What was applied is in the table: the next worker counts on, and recognises repeats."""
    world = World()
    await world.worker().apply([arrival(0, seen(1995, outcome_id="a"))])
    worker = world.worker()
    await worker.recover()
    await worker.apply([arrival(0, seen(1995, outcome_id="a")), arrival(1, seen(1996, outcome_id="a"), seen(1997))])
    world.now_s = 2100
    await worker.tick()
    assert [one["images"] for one in world.summaries()] == [2]


async def test_closed_windows_leave_the_table() -> None:
    """Rows and larger windows are deleted; the tenant's record stays, since it knows what is late."""
    world = World()
    worker = world.worker(of=rules("10s", "1m", "1h"))
    await worker.apply([arrival(0, seen(1970), seen(1985))])
    world.now_s = 2005
    await worker.tick()
    assert orjson.dumps(["window", "acme", "1h", 0]) in world.table
    world.now_s = 3700
    await worker.tick()
    assert set(world.table) == {tenant_key("acme")}
    assert [one["window"] for one in world.summaries()] == ["10s", "10s", "1m", "1m", "1h"]


async def test_a_tenant_that_is_gone_leaves_the_table() -> None:
    """When nothing of it could count any more, its record is deleted."""
    world = World()
    worker = world.worker()
    await worker.apply([arrival(0, seen(1995))])
    for world.now_s in (2100, 2000 + 3600 + 1):
        await worker.tick()
    assert world.table == {}


async def test_a_window_that_drifts_is_followed_by_its_alert() -> None:
    """One closing carries both; the alert names the summary's window, and the next window of the episode raises none."""
    world = World(now_s=2000)
    worker = world.worker(JUDGE)
    await worker.apply([arrival(0, *[seen(1980 + at / 10) for at in range(200)])])
    world.now_s = 2100
    await worker.tick()
    first, second = world.published
    assert [orjson.loads(text)["window_id"] for text in first.alerts] == [orjson.loads(first.summary)["window_id"]]
    assert second.alerts == ()


async def test_what_was_decided_is_said_again_word_for_word() -> None:
    """After a crash between publishing and forgetting, the same bytes are published, even by a judge who would say something else."""
    world = World()
    worker = world.worker()
    await worker.apply([arrival(0, seen(1995), seen(1996))])
    world.now_s = 2100
    world.lives = 2  # the record with what is decided, and the publication
    with pytest.raises(Crash):
        await worker.tick()
    world.lives = float("inf")
    await world.worker(CountingJudge("second")).recover()
    first, again = world.published
    assert first == again


async def test_a_tenant_in_two_partitions_is_refused() -> None:
    """Half of its images would be missing from each window; the worker says so instead."""
    worker = World().worker()
    await worker.apply([arrival(0, seen(1995))])
    with pytest.raises(ConfigError, match="partitions 0 and 1"):
        await worker.apply([arrival(0, seen(1996), partition=1)])


async def test_tenants_beyond_the_limit_have_no_windows_of_their_own() -> None:
    """They are counted over all tenants, and cost the worker no state."""
    world = World()
    worker = world.worker(tenants=2)
    batches = [arrival(at, seen(1995 + at / 10), tenant=f"tenant-{at}") for at in range(50)]
    everything = arrival(50, *[seen(1995 + at / 10) for at in range(50)], tenant=OVERALL)
    await worker.apply([*batches, everything])
    world.now_s = 2100
    await worker.tick()
    assert {one["tenant"]: one["images"] for one in world.summaries()} == {"tenant-0": 1, "tenant-1": 1, OVERALL: 50}
    assert len(world.table) == 3


async def test_a_record_of_an_earlier_release_is_removed() -> None:
    """Its offsets are of another topic: a window that was open at the upgrade is counted anew."""
    world = World()
    for key in (b'["tenant","acme"]', b'["ids","acme",1990000,0]'):
        world.table[key] = Change(0, key, b'{"version":1,"applied":1000}')
    worker = world.worker()
    await worker.recover()
    assert world.table == {}
    await worker.apply([arrival(0, seen(1995))])
    assert list(world.table) == [segment_key("acme", 1_990_000, 0), tenant_key("acme")]


async def test_a_pane_without_end_keeps_its_table_small() -> None:
    """Rows over the bound are folded into one record; the window is exact, however many there were."""
    world = World()
    of = rules("10s", max_pane_rows=2000)
    worker = world.worker(of=of)
    images = [seen(1990 + at / 1000, probs=(0.25, 0.75)) for at in range(9000)]
    for batch in range(9):
        await worker.apply([arrival(batch, *images[1000 * batch : 1000 * (batch + 1)])])
    assert sum(key.startswith(b'["rows"') for key in world.table) <= 4
    worker = world.worker(of=of)
    await worker.recover()
    world.now_s = 2100
    await worker.tick()
    [said] = world.summaries()
    assert (said["images"], said["probability_sums"]) == (9000, {"real": 2250, "flux": 6750})
    assert set(world.table) == {tenant_key("acme")}


async def test_what_came_lately_is_recognised_after_a_fold() -> None:
    """Only the older half is folded: after a crash it is the latest verdicts that are published again."""
    world = World()
    worker = world.worker(of=rules("10s", max_pane_rows=3000))
    images = [seen(1990 + at / 1000, outcome_id=f"o{at}") for at in range(5000)]
    for batch in range(5):
        await worker.apply([arrival(batch, *images[1000 * batch : 1000 * (batch + 1)])])
    await worker.apply([arrival(5, *images[3000:4000])])
    world.now_s = 2100
    await worker.tick()
    [said] = world.summaries()
    assert said["images"] == 5000


async def run_with_crashes(world: World, records: list[Arrival], draw: random.Random, of: WindowRules) -> None:
    """Read `records` to the end and wait for silence, with a fresh worker after each crash."""
    name = 0
    while True:
        world.lives = draw.choice([draw.randrange(40), draw.randrange(40), float("inf")])
        name += 1
        worker = world.worker(CountingJudge(str(name)), of)
        try:
            await worker.recover()
            while world.committed < len(records):
                end = min(len(records), world.committed + draw.randrange(1, 4))
                world.now_s += draw.choice([0.1, 4])
                await worker.apply(records[world.committed : end])
                world.committed = end if draw.random() < 0.8 else world.committed  # a commit may be lost
                await worker.tick()
            world.now_s += 10_000
            await worker.tick()
        except Crash:
            continue
        return


def made_up(draw: random.Random, count: int) -> list:
    """Images in 90 s, in the order of their events."""
    return [
        seen(
            at_s,
            outcome_id=f"id-{index}",
            source=draw.choice(["flux", "real", None]),
            probs=(0.25, 0.75) if draw.random() < 0.8 else (),
        )
        for index, at_s in enumerate(sorted(draw.randrange(1900, 1990) for _ in range(count)))
    ]


def as_records(draw: random.Random, images: Sequence) -> list[Arrival]:
    """The images, a few in each record."""
    records, at = [], 0
    while at < len(images):
        size = draw.randrange(1, 8)
        records.append(arrival(len(records), *images[at : at + size]))
        at += size
    return records


def without_judge(summary: dict) -> dict:
    """A summary but for the name and count of the judge."""
    return {name: value for name, value in summary.items() if name != "model_versions"}


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 80))
async def test_crashes_anywhere_change_no_window(seed, count) -> None:
    """Dying after any write or publication, any number of times, with repeated verdicts: every window equals one that is counted in one go."""
    draw = random.Random(seed)
    of = rules("10s", "20s/10s", "1m", max_pane_rows=draw.choice([3, 1 << 16]))
    images = made_up(draw, count)
    repeats = draw.choices(images, k=count // 4) if of.max_pane_rows > 3 else []
    in_reach = sorted(images + repeats, key=lambda one: one.event_ms + 1000 * draw.uniform(0, 4.9))
    world = World()
    await run_with_crashes(world, as_records(draw, in_reach), draw, of)
    assert len({closing.summary for closing in world.published}) == len({one["window_id"] for one in world.summaries()})
    inside: dict[tuple[str, int], list] = {}
    for one in images:
        for spec in of.specs:
            for start_ms in spec.starts(one.event_ms):
                inside.setdefault((spec.name, start_ms), []).append(one)
    expected = [
        counted("acme", ClosedWindow(of.specs.named(name), start_ms, aggregate_of(rows_of(of_window), SIZES), 0))
        for (name, start_ms), of_window in inside.items()
    ]
    assert {one["window_id"]: without_judge(one) for one in world.summaries()} == {
        one.window_id: without_judge(one.to_json()) for one in expected
    }
    assert set(world.table) <= {tenant_key("acme")}


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 80))
async def test_crashes_with_stragglers_say_no_window_differently(seed, count) -> None:
    """In whatever order images come: a window has one summary, each image is counted or late, once, and an hour is the sum of its minutes."""
    draw = random.Random(seed)
    images = made_up(draw, count)
    with_stragglers = sorted(images, key=lambda one: one.event_ms + 1000 * draw.choice([0, 0, 30]))
    world = World()
    of = rules("10s", "1m")
    await run_with_crashes(world, as_records(draw, with_stragglers), draw, of)
    said = {one["window_id"]: one for one in world.summaries()}
    assert len({closing.summary for closing in world.published}) == len(said)
    still_late = orjson.loads(world.table[tenant_key("acme")].value or b"")["late"] if world.table else 0
    panes = [one for one in said.values() if one["window"] == "10s"]
    minutes = [one for one in said.values() if one["window"] == "1m"]
    if world.table:
        assert sum(one["images"] + one["late"] for one in panes) + still_late == count
    assert sum(one["images"] for one in panes) == sum(one["images"] for one in minutes)


def worst_image(n: int):
    """One of a model of its own, with names as long as they may be."""
    classes = ("real", *(f"{n}.{at}".ljust(128, "x") for at in range(31)))
    return seen(1995, outcome_id=f"o{n}", source=classes[n % 32], probs=(1 / 32,) * 32, model=f"m{n}", classes=classes)


async def test_made_up_models_and_classes_outgrow_no_record() -> None:
    """However many a broken producer makes up, no write and no message is more than the broker takes, and the window is published."""
    world = World()
    of = rules("10s", "1m")
    worker = world.worker(JUDGE, of)
    images = [worst_image(n) for n in range(600)]
    for at in range(0, 600, 40):
        await worker.apply([arrival(at, *images[at : at + 40])])
    world.now_s = 2100
    await worker.tick()
    assert [one["images"] for one in world.summaries()] == [600, 600]
    assert 100_000 < world.largest < 900_000


async def test_words_of_many_windows_are_said_in_rounds() -> None:
    """A tenant with hundreds of long names, of whom 40 windows are due at once: their words do not have to fit into one record."""
    world = World()
    worker = world.worker(JUDGE)
    names = [f"{at}".ljust(128, "x") for at in range(255)]
    for window in range(40):
        images = [seen(1000 + 10 * window, outcome_id=f"{window}.{at}", source=name) for at, name in enumerate(names)]
        await worker.apply([arrival(window, *images)])
    world.now_s = 2100
    await worker.tick()
    assert len(world.published) == 40
    assert 200_000 < world.largest < 900_000


async def test_what_a_crash_left_unsaid_is_said_before_more_is_decided() -> None:
    """A worker that reads a long backlog and dies whenever it publishes does not gather ever more words in one record."""
    world = World()
    panes = MAX_OPEN_PANES + 3 * CLOSED_AT_ONCE
    world.lives = panes + 2  # the rows, what was applied, what is decided
    with pytest.raises(Crash):
        await world.worker().apply([arrival(0, *[seen(1000 + 10 * at) for at in range(panes)])])
    for _ in range(3):
        assert len(orjson.loads(world.table[tenant_key("acme")].value or b"")["outbox"]) == CLOSED_AT_ONCE
        world.lives = 1
        with pytest.raises(Crash):
            await world.worker().recover()
