"""The end of a crash loop: a suspect is judged with nobody beside it, and refused after its third crash."""

import asyncio
import shutil
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import CrashSuspect, DependencyDownTooLong, DeviceLost, ImageCorrupt, ObjectNotFound
from streams.crash_guard import CrashGuard, Solo
from streams.crash_journal import CrashJournal

POISON, GOOD, OTHER = (letter * 40 for letter in "pgo".translate(str.maketrans("pgo", "abc")))


class Lives:
    """One worker slot through its crashes: what the file holds at a kill is what the next life finds."""

    def __init__(self, folder):
        self._folder = folder
        self._number = 0
        self._opened = []
        self.journal = self._open()

    def _open(self):
        self._opened.append(CrashJournal(self._folder / str(self._number), "slot"))
        return self._opened[-1]

    def crash(self):
        """Kill this life; the next begins."""
        before, after = self._folder / str(self._number), self._folder / str(self._number + 1)
        shutil.copytree(before, after, ignore=lambda _folder, names: [name for name in names if name.endswith(".lock")])
        self._number += 1
        self.journal = self._open()

    def close(self):
        for journal in self._opened:
            journal.close(orderly=True)


@pytest.fixture
def lives(tmp_path):
    made = Lives(tmp_path)
    yield made
    made.close()


async def crash_with(lives, *ids):
    """Die while `ids` are in flight."""
    guard, inside = CrashGuard(lives.journal), asyncio.Event()

    async def hang(outcome_id):
        async with guard.around(outcome_id):
            await inside.wait()

    tasks = [asyncio.create_task(hang(outcome_id)) for outcome_id in ids]
    for _ in range(5):
        await asyncio.sleep(0)
    lives.crash()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_three_crashes_and_it_is_refused(lives):
    """Its neighbour of the first two was judged in between and is cleared."""
    await crash_with(lives, POISON, GOOD)
    await crash_with(lives, POISON, GOOD)
    assert (lives.journal.crashes(POISON), lives.journal.crashes(GOOD)) == (2, 2)
    async with CrashGuard(lives.journal).around(GOOD):
        pass
    await crash_with(lives, POISON)
    assert (lives.journal.crashes(POISON), lives.journal.crashes(GOOD)) == (3, 0)
    with pytest.raises(CrashSuspect) as caught:
        async with CrashGuard(lives.journal).around(POISON):
            pytest.fail("it must not be worked on again")
    assert caught.value.code == "crash_suspect"


async def test_the_refusal_is_remembered_until_its_dead_letter_is_out(lives):
    """A death between the refusal and the dead letter must not set the poison free."""
    for _ in range(3):
        await crash_with(lives, POISON)
    with suppress(CrashSuspect):
        async with CrashGuard(lives.journal).around(POISON):
            pass
    lives.crash()
    with pytest.raises(CrashSuspect):
        async with CrashGuard(lives.journal).around(POISON):
            pass


async def test_a_third_crash_leaves_one_suspect(lives):
    """Two suspects never run at once, so an innocent one does not become the third crash of another."""
    await crash_with(lives, POISON, GOOD)
    await crash_with(lives, POISON, GOOD)
    await crash_with(lives, POISON, GOOD)
    assert sorted((lives.journal.crashes(POISON), lives.journal.crashes(GOOD))) == [2, 3]


@pytest.mark.parametrize("error", [ImageCorrupt("bad"), ObjectNotFound("gone")])
async def test_what_fails_as_references_do_is_cleared(lives, error):
    """A rejection, or a wait for another round, is an end: the worker lived through it."""
    await crash_with(lives, POISON)
    with pytest.raises(type(error)):
        async with CrashGuard(lives.journal).around(POISON):
            raise error
    lives.crash()
    assert lives.journal.crashes(POISON) == 0


@pytest.mark.parametrize("error", [RuntimeError("a bug"), DeviceLost("gone")])
async def test_what_ends_the_worker_counts_as_a_crash(lives, error):
    """An image that makes us raise what we do not know ends the worker with exit 70: without a count it would do so for ever."""
    with pytest.raises(type(error)):
        async with CrashGuard(lives.journal).around(POISON):
            raise error
    lives.journal.close(orderly=False)
    lives.crash()
    assert lives.journal.crashes(POISON) == 1


async def test_a_dependency_that_ends_the_worker_does_not_count(lives):
    """Exit 75 is the store's fault, for each of the references that waited."""
    await crash_with(lives, GOOD)
    with pytest.raises(DependencyDownTooLong):
        async with CrashGuard(lives.journal).around(GOOD):
            raise DependencyDownTooLong("the store is away")
    lives.crash()
    assert lives.journal.crashes(GOOD) == 1


async def test_one_that_is_let_go_stays_under_suspicion(lives):
    """A rebalance between two crashes must not clear the poison: it would be worked on for ever."""
    await crash_with(lives, POISON)
    await crash_with(lives, POISON)
    guard = CrashGuard(lives.journal)

    async def judge():
        async with guard.around(POISON):
            await asyncio.sleep(60)

    task = asyncio.create_task(judge())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    lives.crash()
    assert lives.journal.crashes(POISON) == 2


async def test_without_a_journal_nothing_is_remembered():
    """`classify` on a file has no life to remember."""
    async with CrashGuard(None).around(GOOD):
        pass


class Watch:
    """Notes who is in, and fails when two are that must not be."""

    def __init__(self):
        self.shared = 0
        self.alone = 0
        self.turns = 0

    def enter(self, kind):
        setattr(self, kind, getattr(self, kind) + 1)
        assert self.alone <= 1, "two alone"
        assert not (self.alone and self.shared), "somebody beside one alone"

    def leave(self, kind):
        setattr(self, kind, getattr(self, kind) - 1)
        self.turns += 1


async def play(solo, watch, kind, steps):
    async with solo.alone() if kind == "alone" else solo.shared():
        watch.enter(kind)
        try:
            for _ in range(steps):
                await asyncio.sleep(0)
        finally:
            watch.leave(kind)


ACTORS = st.lists(
    st.tuples(st.sampled_from(("alone", "shared", "shared")), st.integers(0, 4), st.integers(0, 6)),
    min_size=1,
    max_size=14,
)
CANCELS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 13), st.integers(1, 3)), max_size=8)


@settings(max_examples=300, deadline=None)
@given(actors=ACTORS, cancels=CANCELS)
def test_nobody_is_ever_beside_one_alone(actors, cancels):
    """Property: whoever comes and is cancelled whenever, even more than once; and all who are not cancelled have their turn."""

    async def run():
        solo, watch, tasks = Solo(), Watch(), []
        for tick in range(21):
            tasks += [asyncio.create_task(play(solo, watch, kind, steps)) for kind, steps, at in actors if at == tick]
            for at, which, times in cancels:
                if at == tick and which < len(tasks):
                    for _ in range(times):
                        tasks[which].cancel()
                        if times > 1:
                            await asyncio.sleep(0)
            await asyncio.sleep(0)
        async with asyncio.timeout(5):  # a deadlock otherwise
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        async with asyncio.timeout(5), solo.alone():
            pass
        async with asyncio.timeout(5), solo.shared():
            pass

    asyncio.run(run())


async def test_who_wants_to_be_alone_is_not_starved():
    """Newcomers wait behind it, however many there are."""
    solo, order = Solo(), []

    async def enter(name, kind):
        async with solo.alone() if kind == "alone" else solo.shared():
            order.append(name)
            await asyncio.sleep(0.001)

    first = asyncio.create_task(enter("first", "shared"))
    await asyncio.sleep(0)
    alone = asyncio.create_task(enter("alone", "alone"))
    await asyncio.sleep(0)
    late = [asyncio.create_task(enter("late", "shared")) for _ in range(5)]
    await asyncio.gather(first, alone, *late)
    assert order == ["first", "alone", *["late"] * 5]


async def test_a_worker_that_dies_of_everything_is_at_fault_itself(tmp_path):
    """After five suspects in a row the sixth waits, over restarts, until one reference was judged: a bad deploy must not empty the topic."""
    suspects = [f"{n:040x}" for n in range(6)]
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / "slot.journal").write_text("".join(f"=3 {outcome_id}\n" for outcome_id in suspects))
    first = CrashJournal(folder, "slot")
    guard = CrashGuard(first)
    for outcome_id in suspects[:5]:
        with pytest.raises(CrashSuspect):
            async with guard.around(outcome_id):
                pass
    first.close(orderly=False)

    journal = CrashJournal(folder, "slot")
    guard = CrashGuard(journal)

    async def sixth():
        async with guard.around(suspects[5]):
            pass

    waiting = asyncio.create_task(sixth())
    done, _ = await asyncio.wait({waiting}, timeout=0.1)
    assert not done
    assert guard.holding == 1
    async with guard.around("f" * 40):
        pass
    with pytest.raises(CrashSuspect):
        async with asyncio.timeout(10):
            await waiting
    assert (guard.holding, journal.suspects_in_a_row) == (0, 1)
    journal.close(orderly=True)
