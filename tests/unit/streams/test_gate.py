"""The gate before the object store: one probe for all who wait, open again by itself, closed only when the store is down for everybody."""

import asyncio
import time

import pytest

from schemas.errors import DecoderUnavailable, DependencyDownTooLong, StoreUnavailable
from schemas.incoming import Record
from streams.gate import Gate, backoff_s
from streams.passage import Passage
from streams.retries import Retries
from streams.settings import PipelineSettings

FAST = PipelineSettings(retry_first_s=0.001, dependency_wait_s=0.01, dependency_give_up_s=10)


class Store:
    """A dependency that is up or down, and counts what it is asked."""

    def __init__(self):
        self.up = False
        self.probes = 0

    async def probe(self):
        self.probes += 1
        if not self.up:
            raise StoreUnavailable("the object store does not answer", why="refused")


def closed_gate(store, settings=FAST):
    gate = Gate("object store", store.probe, settings)
    gate.report(StoreUnavailable("the object store does not answer", why="timeout"), time.monotonic())
    return gate


def passage():
    return Passage.of(Record("images", 0, 0, None, b""))


async def test_a_gate_is_open_until_something_fails():
    """Nobody waits, and nothing is asked."""
    store = Store()
    gate = Gate("object store", store.probe, FAST)
    await gate.opened()
    assert (gate.is_open, gate.why_closed, store.probes) == (True, None, 0)


async def test_while_it_is_closed_all_wait_for_one_probe_and_go_on_together():
    """However many wait, the dependency is asked by one."""
    store = Store()
    gate = closed_gate(store)
    assert (gate.is_open, gate.why_closed) == (False, "the object store does not answer: timeout")
    waiting = [asyncio.create_task(gate.opened()) for _ in range(100)]
    while store.probes < 3:
        await asyncio.sleep(0.001)
    assert not any(task.done() for task in waiting)
    assert store.probes < 50  # one probe at a time, not one for each who waits
    store.up = True
    await asyncio.gather(*waiting)
    assert (gate.is_open, gate.why_closed) == (True, None)


async def test_a_failure_of_a_request_that_others_outran_does_not_close_it():
    """A store that fails on one object while it serves others is not down."""
    gate = Gate("object store", Store().probe, FAST)
    began_at = time.monotonic()
    gate.answered()
    assert gate.report(StoreUnavailable("500 for this object"), began_at) is False
    assert gate.is_open


async def test_the_failure_of_another_dependency_does_not_close_it():
    """No decoder to be had says nothing about the store: that must go on serving what is decoded already."""
    gate = Gate("object store", Store().probe, FAST)
    assert gate.report(DecoderUnavailable("no decoder process"), time.monotonic()) is False
    assert gate.is_open


async def test_a_gate_that_stays_closed_ends_the_worker():
    """Exit 75 with the reason of the last probe: its supervisor restarts it."""
    gate = closed_gate(Store(), FAST.model_copy(update={"dependency_give_up_s": 0.05}))
    with pytest.raises(DependencyDownTooLong) as caught:
        await gate.opened()
    assert (caught.value.exit_code, caught.value.why) == (75, "refused")


async def test_who_is_cancelled_while_waiting_leaves_nothing_behind():
    """A rebalance lets go of all who wait: no task of theirs may stay until the store is back."""
    gate = closed_gate(Store(), FAST.model_copy(update={"dependency_wait_s": 60, "retry_first_s": 60}))
    before = len(asyncio.all_tasks())
    waiting = [asyncio.create_task(gate.opened()) for _ in range(10)]
    await asyncio.sleep(0.01)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == before
    await gate.close()


async def test_closing_ends_the_probe():
    """Nothing of it outlives the worker."""
    store = Store()
    gate = closed_gate(store)
    before = len(asyncio.all_tasks())
    await gate.close()
    assert len(asyncio.all_tasks()) == before - 1


async def test_requests_go_on_when_the_gate_opens():
    """Retries wait at the gate, ask nothing meanwhile, and return the answer in the end."""
    store, calls = Store(), 0
    gate = Gate("object store", store.probe, FAST)

    async def request():
        nonlocal calls
        calls += 1
        if not store.up:
            raise StoreUnavailable("the object store does not answer")
        return "answer"

    pending = asyncio.create_task(Retries(FAST).run(request, passage(), gate=gate))
    while store.probes < 5:
        await asyncio.sleep(0.001)
    assert calls == 1
    store.up = True
    assert await pending == "answer"
    assert calls == 2


async def test_a_store_that_answers_probes_but_serves_nobody_is_asked_less_and_less():
    """Buckets that exist over disks that are gone: the wait must grow from closing to closing, or we would never let it rest."""
    store, calls = Store(), 0
    store.up = True
    patient = FAST.model_copy(update={"dependency_wait_s": 5.0})
    gate = Gate("object store", store.probe, patient)

    async def request():
        nonlocal calls
        calls += 1
        raise StoreUnavailable("500 for every object")

    pending = asyncio.create_task(Retries(patient).run(request, passage(), gate=gate))
    await asyncio.sleep(0.5)
    pending.cancel()
    assert 2 <= calls <= 20  # 1 ms doubled ten times is a second
    await gate.close()


async def test_one_answer_makes_it_patient_no_longer():
    """After an outage that is over, the next one is noticed at once again."""
    store = Store()
    store.up = True
    gate = closed_gate(store)
    await gate.opened()
    gate.answered()
    assert gate.report(StoreUnavailable("down again"), time.monotonic() + 1)
    await gate.opened()
    assert store.probes == 2
    await gate.close()


def test_the_wait_doubles_up_to_its_limit():
    """With jitter of at most a half, and no overflow after however many failures."""
    settings = PipelineSettings(retry_first_s=0.2, dependency_wait_s=30)
    assert 0.1 <= backoff_s(settings, 0) <= 0.2
    assert 0.8 <= backoff_s(settings, 3) <= 1.6
    assert 15 <= backoff_s(settings, 10_000) <= 30


async def test_a_probe_that_fails_unexpectedly_says_so():
    """A fault of ours must not be taken for a store that stayed away."""

    async def broken():
        raise RuntimeError("a bug")

    gate = Gate("object store", broken, FAST)
    gate.report(StoreUnavailable("the object store does not answer"), time.monotonic())
    with pytest.raises(RuntimeError, match="a bug"):
        await gate.opened()
