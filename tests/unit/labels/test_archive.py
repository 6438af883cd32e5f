"""Outcomes looked up for labels: what is waited for, and for how long."""

import asyncio
from datetime import timedelta

import pytest
from support.labels import NOON
from support.verdicts import verdict

from schemas.incoming import Record
from schemas.settled import object_key
from storage.memory import MemoryStore
from streams.labels.archive import NOBODY, Outcomes
from streams.objects import Objects
from streams.outcomes import verdict_outcome
from streams.settings import Settings

BUCKET = "deeptrace-outcomes"
ID = verdict().outcome_id
SETTINGS = Settings.model_validate({"pipeline": {"retry_first_s": 0.001, "dependency_wait_s": 0.002}})
STORED = verdict_outcome(verdict(), Record("t", 0, 0, b"k", b"{}", (), NOON)).settled().to_bytes()


class Archive:
    """An archive in memory, with a clock that goes on by a second at each look."""

    def __init__(self):
        self.store = MemoryStore({BUCKET})
        self.now = NOON.timestamp()
        self.waits = []
        self.outcomes = Outcomes(
            Objects(self.store, SETTINGS.store),
            BUCKET,
            SETTINGS.pipeline,
            wait_s=5,
            on_wait=self.waits.append,
            clock=self.clock,
        )

    def clock(self):
        self.now += 1
        return self.now

    def put(self, data, outcome_id=ID):
        self.store.put(BUCKET, object_key(outcome_id), data, content_type="application/json", deadline_s=1)

    async def waited(self):
        while not self.waits:
            await asyncio.sleep(0.001)


@pytest.fixture
async def archive():
    return Archive()


async def test_an_outcome_is_found(archive):
    """As it was published."""
    archive.put(STORED)
    found = await archive.outcomes.find(ID, asked_at=NOON)
    assert found.verdict == verdict()
    assert archive.waits == []


async def test_an_outcome_that_comes_late_is_waited_for(archive):
    """A reviewer may be quicker than the archive."""
    finding = asyncio.create_task(archive.outcomes.find(ID, asked_at=NOON + timedelta(hours=1)))
    await archive.waited()
    archive.put(STORED)
    assert (await finding).verdict == verdict()
    assert set(archive.waits) == {"object_not_found"}


async def test_a_label_without_an_outcome_is_given_up_when_it_is_old_enough(archive):
    """Counted from when it was sent, so that a backlog does not wait once more."""
    assert await archive.outcomes.find(ID, asked_at=NOON) == "unmatched"
    assert len(archive.waits) == 4
    archive.waits.clear()
    assert await archive.outcomes.find(ID, asked_at=NOON - timedelta(hours=1)) == "unmatched"
    assert archive.waits == []


async def test_a_store_that_is_away_is_waited_for(archive):
    """Without end: the label is old by then, and still joined."""
    archive.put(STORED)
    with archive.store.outage():
        finding = asyncio.create_task(archive.outcomes.find(ID, asked_at=NOON - timedelta(hours=1)))
        await archive.waited()
        assert not finding.done()
    assert (await finding).verdict == verdict()
    assert set(archive.waits) == {"store_unavailable"}


@pytest.mark.parametrize(
    "data", [b"", b"{", STORED.replace(ID.encode(), b"b" * 40), STORED.replace(b"verdicts.v1", b"other")]
)
async def test_what_is_no_outcome_is_not_waited_for(archive, data):
    """Somebody changed it, or a newer release wrote it; the labels behind it go on."""
    archive.put(data)
    assert await archive.outcomes.find(ID, asked_at=NOON) == "outcome_unreadable"


async def test_whether_the_archive_may_be_read_is_asked_first(archive):
    """A user without the right is told so, not that there is no outcome."""
    assert await archive.outcomes.check() is None
    archive.store.denied.add((BUCKET, object_key(NOBODY)))
    assert "object_denied" in await archive.outcomes.check()
    with archive.store.outage():
        assert "store_unavailable" in await archive.outcomes.check()
