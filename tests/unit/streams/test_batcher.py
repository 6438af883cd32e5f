"""The micro-batcher: who shares a batch, who waits, and who pays for a bad image."""

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import (
    BatchFailed,
    DependencyDown,
    DeviceLost,
    InferenceFailed,
    Rejection,
    StoreUnavailable,
    Transient,
)
from streams.batcher import GROW_AFTER, MicroBatcher, SafeBatch, judge_bisecting


class Gate:
    """A judge that notes its batches and waits until it is let go."""

    def __init__(self):
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.open = threading.Event()

    def __call__(self, items):
        self.batches.append(list(items))
        self.threads.add(threading.current_thread().name)
        assert self.open.wait(10)
        return [item * 10 for item in items]


async def test_a_lone_item_is_judged_at_once():
    """Nothing waits for company: there is no timer."""
    batcher = MicroBatcher(lambda items: [item + 1 for item in items], max_batch=8)
    judged = await batcher.submit(1)
    assert (judged.answer, judged.batch_size) == (2, 1)
    await batcher.close()


async def test_what_waits_while_two_batches_are_in_flight_becomes_one_batch():
    """The third batch is everything that gathered meanwhile, up to the largest size."""
    gate = Gate()
    batcher = MicroBatcher(gate, max_batch=4)
    answers = [asyncio.create_task(batcher.submit(n)) for n in range(8)]
    await asyncio.sleep(0)
    gate.open.set()
    assert [(await answer).answer for answer in answers] == [n * 10 for n in range(8)]
    assert gate.batches == [[0], [1], [2, 3, 4, 5], [6, 7]]
    assert len(gate.threads) == 1
    await batcher.close()


async def test_one_poisoned_item_costs_only_itself():
    """The batch is halved until the bad one stands alone."""

    def judge(items):
        if 5 in items:
            raise ValueError("poison")
        return [item * 10 for item in items]

    batcher = MicroBatcher(judge, max_batch=16)
    results = await asyncio.gather(*(batcher.submit(n) for n in range(8)), return_exceptions=True)
    assert isinstance(results[5], InferenceFailed)
    assert isinstance(results[5].__cause__, ValueError)
    assert [r.answer for n, r in enumerate(results) if n != 5] == [0, 10, 20, 30, 40, 60, 70]
    await batcher.close()


async def test_a_cancelled_submitter_does_not_harm_its_batch_mates():
    """Draining cancels tasks; the batch they were part of goes on."""
    gate = Gate()
    batcher = MicroBatcher(gate, max_batch=4)
    first, second = (asyncio.create_task(batcher.submit(n)) for n in (1, 2))
    await asyncio.sleep(0)
    first.cancel()
    gate.open.set()
    assert (await second).answer == 20
    with pytest.raises(asyncio.CancelledError):
        await first
    await batcher.close()


async def test_what_was_cancelled_while_it_waited_is_not_judged():
    """Closing finishes what somebody waits for, and nothing else."""
    gate = Gate()
    batcher = MicroBatcher(gate, max_batch=2)
    tasks = [asyncio.create_task(batcher.submit(n)) for n in range(6)]
    await asyncio.sleep(0)
    for cancelled in (2, 4, 5):
        tasks[cancelled].cancel()
    await asyncio.sleep(0)
    gate.open.set()
    await batcher.close()
    assert gate.batches == [[0], [1], [3]]
    assert (await tasks[3]).answer == 30


@given(st.lists(st.integers(0, 99), min_size=1, max_size=40), st.sets(st.integers(0, 99)))
def test_bisecting_fails_exactly_the_bad_items(items, bad):
    """Property: an error for each bad item, the right answer for each other, in order."""

    def judge(batch):
        if bad.intersection(batch):
            raise RuntimeError
        return [item * 2 for item in batch]

    for item, answer in zip(items, judge_bisecting(judge, items), strict=True):
        if item in bad:
            assert isinstance(answer, InferenceFailed)
        else:
            assert answer == item * 2


@pytest.mark.parametrize("kind", [DeviceLost, StoreUnavailable])
def test_what_concerns_every_item_is_not_bisected(kind):
    """Looking for a culprit would dead-letter the innocent, the whole topic when the GPU is lost."""
    calls = []

    def judge(batch):
        calls.append(len(batch))
        raise kind("gone")

    answers = judge_bisecting(judge, [1, 2, 3, 4])
    assert [type(answer) for answer in answers] == [kind] * 4
    assert calls == [4]


async def test_a_lost_device_reaches_every_submitter():
    """Each gets the error that ends the worker, also those whose batch was judged after the loss."""

    def judge(items):
        raise DeviceLost("gone")

    batcher = MicroBatcher(judge, max_batch=2)
    answers = await asyncio.gather(*(batcher.submit(n) for n in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DeviceLost] * 5
    await batcher.close()


def test_a_lost_device_ends_the_worker():
    """Neither a dead letter nor tried again nor waited for: a CUDA context does not heal in its process."""
    assert not issubclass(DeviceLost, (Rejection, Transient, DependencyDown))
    assert (DeviceLost.code, DeviceLost.exit_code) == ("device_lost", 70)


def test_an_answer_too_few_is_a_failure_not_a_mix_up():
    """A classifier that returns fewer answers than images must not shift verdicts to other images."""
    answers = judge_bisecting(lambda batch: list(batch)[:1], ["a", "b"])
    assert answers == ["a", "b"]  # judged one by one after the short answer was refused


def test_a_batch_that_was_too_large_halves_the_next_ones():
    """It failed, and no image of it failed alone: it was the size."""
    safe = SafeBatch(32)
    safe.note(32, failed=True, culprits=0)
    assert safe.size == 16
    safe.note(3, failed=True, culprits=0)
    assert safe.size == 1
    safe.note(1, failed=True, culprits=0)
    assert safe.size == 1


def test_an_image_that_fails_alone_is_at_fault_and_not_the_size():
    """A poison in a batch must not make all later ones small."""
    safe = SafeBatch(32)
    safe.note(32, failed=True, culprits=1)
    assert safe.size == 32


def test_it_grows_by_one_after_so_many_full_ones_that_went_well():
    """Small batches say nothing about larger ones."""
    safe = SafeBatch(8)
    safe.note(8, failed=True, culprits=0)
    for _ in range(1000):
        safe.note(3, failed=False, culprits=0)
    assert safe.size == 4
    for _ in range(GROW_AFTER - 1):
        safe.note(4, failed=False, culprits=0)
    assert safe.size == 4
    safe.note(4, failed=False, culprits=0)
    assert safe.size == 5


@given(
    most=st.integers(1, 64),
    notes=st.lists(st.tuples(st.integers(1, 64), st.booleans(), st.integers(0, 3)), max_size=100),
)
def test_the_safe_size_stays_within_its_bounds(most, notes):
    """Property: from one to the most; it falls only on a failure without a culprit, and rises by one at a time."""
    safe = SafeBatch(most)
    for items, failed, culprits in notes:
        before = safe.size
        safe.note(items, failed=failed, culprits=culprits)
        assert 1 <= safe.size <= most
        if safe.size < before:
            assert failed
            assert not culprits
            assert safe.size <= max(1, items // 2)
        else:
            assert safe.size <= before + 1


@settings(max_examples=100, deadline=None)
@given(fits=st.integers(1, 40), most=st.integers(1, 40), items=st.integers(1, 120), bad=st.sets(st.integers(0, 119)))
def test_batches_settle_at_what_fits_and_every_item_gets_its_answer(fits, most, items, bad):
    """Property: a model that runs out of memory over `fits` images, and images that fail alone among them."""

    def judge(batch):
        if len(batch) > fits:
            raise BatchFailed("out of memory")
        if bad.intersection(batch):
            raise ValueError
        return [item * 10 for item in batch]

    async def run():
        batcher = MicroBatcher(judge, max_batch=most)
        results = await asyncio.gather(*(batcher.submit(n) for n in range(items)), return_exceptions=True)
        await batcher.close()
        return batcher, results

    batcher, results = asyncio.run(run())
    for n, result in enumerate(results):
        assert isinstance(result, InferenceFailed) if n in bad else result.answer == n * 10
    if not bad and items > 4 * most > 4 * fits:  # it was tried often enough to know
        assert batcher.safe_batch <= fits + 1


async def test_a_batch_that_is_too_large_is_not_tried_again_at_that_size():
    """What was learned is remembered: after the first failures none is larger than what fits."""
    sizes = []

    def judge(batch):
        sizes.append(len(batch))
        if len(batch) > 4:
            raise BatchFailed("out of memory")
        return [item * 10 for item in batch]

    batcher = MicroBatcher(judge, max_batch=32)
    await asyncio.gather(*(batcher.submit(n) for n in range(200)))
    assert batcher.safe_batch <= 5
    assert max(sizes[len(sizes) // 2 :]) <= 5
    await batcher.close()


async def test_two_kinds_of_work_share_one_thread():
    """One device, so one thread; closing the guest leaves the host at work."""
    threads = []

    def note(items):
        threads.append(threading.current_thread())
        return items

    host = MicroBatcher(note, max_batch=4)
    guest = MicroBatcher(note, max_batch=4, beside=host)
    assert (await guest.submit(1)).answer == 1
    await guest.close()
    assert (await host.submit(2)).answer == 2
    await host.close()
    assert len(threads) == 2
    assert threads[0] is threads[1]
