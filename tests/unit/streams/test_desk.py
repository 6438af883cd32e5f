"""The desk: bounded work in any order, let go in bounded time when partitions are taken away, and no slot ever lost."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import StoreUnavailable
from schemas.incoming import Record
from streams.admission import Admission
from streams.desk import UNACKNOWLEDGED_PER_SLOT, Desk
from streams.gate import Gate
from streams.ledger import Ledger
from streams.letter_limit import LetterLimit
from streams.pipeline import Delivery
from streams.settings import PipelineSettings

pytestmark = pytest.mark.timeout(60)

SETTINGS = PipelineSettings(
    retry_first_s=0.001, dependency_wait_s=0.002, dead_letters_in_a_row=1, dead_letter_share=1, dependency_give_up_s=5
)


class Office:
    """A desk with everything around it. Work on the offsets `held` (None: on all) waits until `go` is set; nothing else does."""

    def __init__(self, in_flight=3, *, held=None, work=None):
        self.held = held
        self.acked = []
        self.forgotten = []
        self.working = []
        self.most_at_once = 0
        self.go = asyncio.Event()
        self.errors = {}
        self.store_up = True
        self.ledger = Ledger(self.acked.append)
        self.gate = Gate("object store", self._probe, SETTINGS)
        self.limit = LetterLimit(SETTINGS)
        self.desk = Desk(
            work or self._work,
            ledger=self.ledger,
            admission=Admission(self.gate, self.limit),
            forget=self.forgotten.append,
            in_flight=in_flight,
        )

    async def _probe(self):
        if not self.store_up:
            raise StoreUnavailable("the object store does not answer")

    async def _work(self, entry, _delivery):
        self.working.append(entry.offset)
        self.most_at_once = max(self.most_at_once, len(self.working))
        try:
            if error := self.errors.get(entry.offset):
                raise error
            if self.held is None or entry.offset in self.held:
                await self.go.wait()
        finally:
            self.working.remove(entry.offset)
        self.ledger.finish(entry)

    def register(self, offset, partition=0, generation=1):
        return self.ledger.register("images", partition, generation, offset, (partition, generation, offset))

    def start(self, *offsets, **place):
        """Take deliveries as an agent does: one after the other."""

        async def agent():
            for offset in offsets:
                await self.desk.take(self.register(offset, **place), Delivery(Record("images", 0, offset, None, b"")))

        return asyncio.create_task(agent())

    def store_goes_down(self):
        self.store_up = False
        self.gate.report(StoreUnavailable("the object store does not answer"), time.monotonic())


async def steps(number=10):
    for _ in range(number):
        await asyncio.sleep(0)


async def test_no_more_than_so_many_are_worked_on_at_once():
    """The next one waits for a free slot; all are acknowledged in the end."""
    office = Office(in_flight=3)
    agent = office.start(*range(10))
    await steps()
    assert sorted(office.working) == [0, 1, 2]
    office.go.set()
    await agent
    await steps()
    assert office.most_at_once == 3
    assert [offset for *_, offset in office.acked] == list(range(10))
    assert office.desk.in_hand == 0


async def test_what_hides_behind_a_stuck_one_is_bounded():
    """Finished ones pile up unacknowledged behind it: so many, then nothing more is taken in until it moves."""
    office = Office(in_flight=2, held={0})
    agent = office.start(*range(1000))
    await steps(3000)
    assert not agent.done()
    assert office.ledger.unfinished == 2 * UNACKNOWLEDGED_PER_SLOT + 1
    assert office.acked == []
    office.go.set()
    await agent
    await steps()
    assert len(office.acked) == 1000


async def test_an_unexpected_error_is_the_desks_failure_and_acknowledges_nothing():
    """The worker ends of it; the first one stays."""
    office = Office()
    office.errors = {1: RuntimeError("first"), 2: RuntimeError("second")}
    await office.start(0, 1, 2)
    await steps()
    assert str(office.desk.failure.result()) == "first"
    office.go.set()
    await steps()
    assert [offset for *_, offset in office.acked] == [0]


async def test_what_can_finish_in_time_does_before_it_is_let_go():
    """A rebalance gives it a grace."""
    office = Office()
    await office.start(0, 1)
    await steps()
    letting_go = asyncio.create_task(office.desk.let_go(10))
    await steps()
    assert not letting_go.done()
    office.go.set()
    await letting_go
    assert office.forgotten == []
    assert len(office.acked) == 2


async def test_what_does_not_finish_in_time_is_forgotten_and_acknowledges_nothing():
    """Somebody gets it anew; its work is cancelled and its slot is free."""
    office = Office(in_flight=2)
    await office.start(0, 1)
    await steps()
    await office.desk.let_go(0.01)
    await steps()
    assert office.forgotten == [(0, 1, 0), (0, 1, 1)]
    assert (office.working, office.acked, office.desk.in_hand) == ([], [], 0)
    again = office.start(0, 1, generation=2)
    office.go.set()
    await again
    await steps()
    assert office.acked == [(0, 2, 0), (0, 2, 1)]


async def test_while_the_store_is_down_nothing_is_waited_for():
    """What is in hand waits for the store; the group must not wait with it."""
    office = Office(in_flight=2)
    agent = office.start(*range(5))
    await steps()
    office.store_goes_down()
    async with asyncio.timeout(5):  # its grace is an hour
        await office.desk.let_go(3600)
    await steps()
    assert office.forgotten == [(0, 1, offset) for offset in range(3)]  # two in hand, one that waited for a slot
    assert office.working == []
    agent.cancel()
    await office.gate.close()


async def test_while_the_store_is_down_nothing_is_started():
    """And when it is back, what waited is."""
    office = Office()
    office.store_goes_down()
    agent = office.start(0, 1)
    await asyncio.sleep(0.02)
    assert office.working == []
    office.store_up = True
    office.go.set()
    async with asyncio.timeout(5):
        await agent
    await steps()
    assert len(office.acked) == 2


async def test_one_that_waits_for_admission_is_turned_away_when_its_partition_is():
    """The agent goes on with what comes after the rebalance, and does not start it."""
    office = Office()
    office.store_goes_down()
    agent = office.start(0)
    await steps()
    assert not agent.done()
    await office.desk.let_go(3600)
    async with asyncio.timeout(5):
        await agent
    assert office.working == []
    await office.gate.close()


async def test_a_tripped_limit_holds_the_intake_for_good():
    """Until the process is restarted; a rebalance does not wait for it."""
    office = Office()
    office.limit.admits(0, is_letter=True)
    office.limit.admits(0, is_letter=True)
    agent = office.start(0)
    await steps()
    assert not agent.done()
    async with asyncio.timeout(5):
        await office.desk.let_go(3600)
        await agent
    assert office.forgotten == [(0, 1, 0)]


async def test_no_slot_is_lost_to_work_that_was_cancelled_before_it_began():
    """A rebalance right after a delivery, many times: each cancelled one must give its slot back."""
    office = Office(in_flight=2)
    office.errors = {}
    for generation in range(1, 20):
        agent = office.start(0, 1, generation=generation)
        while office.desk.in_hand < 2:
            await asyncio.sleep(0)
        office.store_goes_down()
        await office.desk.let_go(0)
        office.store_up = True
        await office.gate.opened()
        await agent
    office.go.set()
    async with asyncio.timeout(5):
        await office.start(0, 1, 2, generation=99)
    await steps()
    assert len(office.acked) == 3


async def test_a_second_rebalance_does_not_wait_for_what_the_first_let_go():
    """Nobody waits for it any more: waiting would let go of what the next generation has in hand."""
    ends = asyncio.Event()

    async def stubborn(entry, _delivery):
        while not ends.is_set():
            with suppress(asyncio.CancelledError):  # as a library that does not let go
                await ends.wait()
        office.ledger.finish(entry)

    office = Office(work=stubborn)
    await office.start(0)
    await steps()
    await office.desk.let_go(0.01)
    async with asyncio.timeout(5):
        await office.desk.let_go(3600)
    ends.set()
    await steps()
    assert office.acked == []


async def test_a_retry_waits_until_it_is_due():
    """And not longer."""
    office = Office()
    assert await office.desk.due(office.register(0), datetime.now(UTC) + timedelta(seconds=0.02))
    assert await office.desk.due(office.register(1), datetime.now(UTC) - timedelta(days=1))


@pytest.mark.parametrize("years", [0.001, 1000])
async def test_a_retry_that_is_let_go_is_not_waited_for(years):
    """The agent must be free for what comes after the rebalance, whatever a header says."""
    office = Office()
    entry = office.register(0)
    waiting = asyncio.create_task(office.desk.due(entry, datetime.now(UTC) + timedelta(days=365 * years)))
    await steps()
    await office.desk.let_go(3600)
    async with asyncio.timeout(5):
        assert await waiting is False
    assert office.forgotten == [(0, 1, 0)]


async def test_a_retry_of_the_next_generation_waits_on():
    """Letting go of the old ones ends no wait of the new ones."""
    office = Office()
    await office.start(0, generation=1)
    letting_go = asyncio.create_task(office.desk.let_go(3600))
    await steps()
    new = office.register(0, partition=1, generation=2)
    waiting = asyncio.create_task(office.desk.due(new, datetime.now(UTC) + timedelta(seconds=0.1)))
    await steps()
    office.go.set()
    await letting_go
    assert not waiting.done()
    assert await waiting is True


PLAN = st.lists(st.sampled_from(("take", "take", "take", "finish", "let go", "rebalance", "step")), max_size=60)


@settings(max_examples=150, deadline=None)
@given(plan=PLAN, in_flight=st.integers(1, 4), order=st.randoms(use_true_random=False))
def test_whatever_happens_nothing_is_acknowledged_past_an_unfinished_one(plan, in_flight, order):
    """Property: random deliveries, ends and rebalances; a committed prefix is always finished, and the desk is as good as new after."""

    async def run():
        done, committed, generation, following = set(), 0, 1, 0
        finishing: dict[tuple[int, int], asyncio.Event] = {}

        def acknowledge(handle):
            nonlocal committed
            of, offset = handle
            assert of == generation, "acknowledged for a generation that is over"
            assert offset == committed, "acknowledged out of order"
            assert handle in done, "acknowledged unfinished"
            committed = offset + 1

        async def work(entry, _delivery):
            await finishing.setdefault(entry.handle, asyncio.Event()).wait()
            done.add(entry.handle)
            ledger.finish(entry)

        ledger = Ledger(acknowledge)
        admission = Admission(Gate("object store", asyncio.Event().wait, SETTINGS), LetterLimit(SETTINGS))
        forgotten = []
        desk = Desk(work, ledger=ledger, admission=admission, forget=forgotten.append, in_flight=in_flight)
        agents = []
        for step in plan:
            if step == "take":
                entry = ledger.register("images", 0, generation, following, (generation, following))
                agents.append(asyncio.create_task(desk.take(entry, Delivery(Record("i", 0, following, None, b"")))))
                following += 1
            elif step == "finish" and finishing:
                finishing[order.choice(sorted(finishing))].set()
            elif step in {"let go", "rebalance"}:
                await desk.let_go(0)
                generation += step == "rebalance"  # else a static member that gets the same again
                following = committed
            await asyncio.sleep(0)
            assert desk.in_hand <= in_flight + len(forgotten)
        generation += 1
        following = committed
        await desk.let_go(0)
        async with asyncio.timeout(5):
            await asyncio.gather(*agents)
            while desk.in_hand:
                await asyncio.sleep(0)
        last = []
        for offset in range(committed, committed + 3 * in_flight):
            entry = ledger.register("images", 0, generation, offset, (generation, offset))
            finishing[generation, offset] = asyncio.Event()
            finishing[generation, offset].set()
            last.append(desk.take(entry, Delivery(Record("i", 0, offset, None, b""))))
        async with asyncio.timeout(5):
            for taking in last:
                await taking
        while desk.in_hand:
            await asyncio.sleep(0)
        assert ledger.unfinished == 0
        assert not desk.failure.done(), desk.failure.result()

    asyncio.run(run())
