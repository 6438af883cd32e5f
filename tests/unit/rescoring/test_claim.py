"""One process does a replay: what it may do is as old as its last commit."""

import asyncio

import pytest
from support.rescoring import DAY, MemoryPast

from schemas.errors import BrokerUnavailable, CheckFailed, DependencyDownTooLong
from streams.rescoring.claim import LEASE_S, WATCH_S, Claim
from streams.rescoring.counts import Counts
from streams.rescoring.selection import Selection
from streams.rescoring.terms import Judge, Mark, Terms

TERMS = Terms(selection=Selection(), judge=Judge(version="1", sha256="a" * 64), started=DAY)


@pytest.fixture
def counts():
    """One partition, at its beginning."""
    return Counts({0: (0, Mark(terms=TERMS, begin=0, end=9))})


def claim(past, **options):
    return Claim(past, "again", **{"give_up_s": 20.0, "watch_s": 0.01, "beat_s": 0.001, **options})


async def test_nothing_is_published_before_the_first_commit_and_after_it_at_once(counts):
    """Who has not committed may not be alone."""
    ours = claim(MemoryPast())
    waiting = asyncio.create_task(ours.held())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await ours.commit(counts, is_open=True)
    await waiting
    await ours.held()


async def test_who_was_paused_publishes_only_once_it_has_committed_again(counts):
    """Its last commit is older than another process watches for."""
    past = MemoryPast()
    ours = claim(past, lease_s=0.05)
    await ours.commit(counts, is_open=True)
    await asyncio.sleep(0.06)
    assert not ours.is_held
    waiting = asyncio.create_task(ours.held())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    keeping = asyncio.create_task(ours.keep(counts))
    await waiting
    keeping.cancel()


async def test_who_was_paused_and_finds_another_at_it_publishes_nothing(counts):
    """It ends instead."""
    past = MemoryPast()
    ours = claim(past, lease_s=0.05)
    await ours.commit(counts, is_open=True)
    await asyncio.sleep(0.06)
    await claim(past).commit(counts, is_open=True)
    waiting = asyncio.create_task(ours.held())
    with pytest.raises(CheckFailed, match="another process"):
        await ours.keep(counts)
    assert not waiting.done()
    waiting.cancel()


def test_a_lease_is_shorter_than_the_watch():
    """Or both could publish."""
    assert LEASE_S < WATCH_S


async def test_a_broker_that_is_away_for_long_ends_it_and_for_a_moment_does_not(counts):
    """The last commit is not made in its absence either; who failed anyway says nothing of it."""
    past = MemoryPast()
    ours = claim(past, give_up_s=0.05)
    await ours.commit(counts, is_open=True)
    past.away = True
    with pytest.raises(DependencyDownTooLong):
        await ours.keep(counts)
    await ours.let_go(counts, quiet=True)
    with pytest.raises(BrokerUnavailable, match="last commit"):
        await ours.let_go(counts, quiet=False)
    past.away = False
    keeping = asyncio.create_task(ours.keep(counts))
    before = len(past.kept)
    while len(past.kept) < before + 3:
        await asyncio.sleep(0.001)
    keeping.cancel()
    assert past.places[0][1].beat > 3
