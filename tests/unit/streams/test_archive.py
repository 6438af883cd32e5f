"""Settling: of all who judge one reference the first to store its outcome decides, whatever answers get lost."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.errors import (
    BucketMissing,
    ImageCorrupt,
    NotAnImage,
    StoreUnavailable,
    StoreUnsupported,
)
from schemas.incoming import Record
from schemas.settled import SettledOutcome, object_key
from storage.memory import MemoryStore
from streams.archive import Archive
from streams.gate import Gate
from streams.objects import Objects
from streams.outcomes import Outcome, dead_letter_outcome, stored_outcome
from streams.passage import Passage
from streams.retries import Retries
from streams.settings import Settings

BUCKET = "deeptrace-outcomes"
ID = "a" * 40
SETTINGS = Settings.model_validate(
    {"pipeline": {"retry_first_s": 0.001, "retry_last_s": 0.002, "dependency_wait_s": 0.002, "dependency_give_up_s": 5}}
)
RECORD = Record("images", 1, 5, b"key", b'{"a": 1}', (("ce_id", b"1"), ("odd", b"\xff\x00"), ("none", None)))


class Lossy(MemoryStore):
    """Stores, and then says that it did not: the answer got lost on its way. `lose` says for which calls."""

    def __init__(self, buckets, lose):
        super().__init__(buckets)
        self._lose = iter(lose)
        self._turn = threading.Lock()

    def _lost(self):
        with self._turn:
            return next(self._lose, False)

    def put_if_absent(self, bucket, key, data, **options):
        info = super().put_if_absent(bucket, key, data, **options)
        if self._lost():
            raise StoreUnavailable("no answer", why="read timed out")
        return info

    def get(self, bucket, key, **options):
        found = super().get(bucket, key, **options)
        if self._lost():
            raise StoreUnavailable("no answer", why="read timed out")
        return found


@asynccontextmanager
async def archive_on(store):
    """An archive as a worker has it: with threads and a gate of its own."""
    objects = Objects(store, SETTINGS.store.model_copy(update={"image_buckets": (BUCKET,), "overlay_bucket": BUCKET}))
    gate = Gate("object store", objects.probe, SETTINGS.pipeline)
    yield Archive(objects, BUCKET, retries=Retries(SETTINGS.pipeline), gate=gate)
    await gate.close()
    objects._threads.shutdown()  # not objects.close(): the store is shared
    objects._probe.shutdown()


def letter(error=None, record=RECORD):
    return dead_letter_outcome(ID, record, error or ImageCorrupt("bad"), stage="decode", attempts=1)


def passage():
    return Passage.of(RECORD)


def published(outcome: Outcome):
    return (outcome.topic, outcome.key, outcome.value, outcome.headers)


async def test_the_first_one_settles_and_what_it_stored_is_what_it_publishes():
    """Word for word, in `outcomes/<id>.json`."""
    store = MemoryStore({BUCKET})
    async with archive_on(store) as archive:
        outcome, result = await archive.settle(letter(), passage())
    assert result == "first"
    stored = store.get(BUCKET, f"outcomes/{ID}.json", max_bytes=1 << 20, deadline_s=1)
    assert stored.info.content_type == "application/json"
    assert published(stored_outcome(stored.data, ID)) == published(outcome) == published(letter())


async def test_the_second_one_publishes_what_the_first_stored():
    """Though it came to another conclusion."""
    store = MemoryStore({BUCKET})
    async with archive_on(store) as archive:
        first, _ = await archive.settle(letter(ImageCorrupt("bad")), passage())
        second, result = await archive.settle(letter(NotAnImage("no")), passage())
    assert result == "stored"
    assert published(second) == published(first)
    assert second.code == "image_corrupt"


async def test_find_tells_what_is_settled_and_that_nothing_is():
    """None is an answer, not an error."""
    async with archive_on(MemoryStore({BUCKET})) as archive:
        assert await archive.find(ID, passage()) is None
        first, _ = await archive.settle(letter(), passage())
        assert published(await archive.find(ID, passage())) == published(first)


@settings(max_examples=60, deadline=None)
@given(writers=st.integers(1, 6), lose=st.lists(st.booleans(), max_size=20))
def test_whoever_wins_and_whatever_answers_get_lost_all_publish_the_same(writers, lose):
    """Property: N workers that disagree, and a store that stores and then says it did not."""

    async def run():
        store = Lossy({BUCKET}, lose)
        outcomes = []

        async def settle(number):
            record = Record("images", 1, 5, b"key", f"writer {number}".encode())
            async with archive_on(store) as archive:
                outcome, _ = await archive.settle(letter(record=record), passage())
                outcomes.append(published(outcome))

        await asyncio.gather(*(settle(number) for number in range(writers)))
        return store, outcomes

    store, outcomes = asyncio.run(run())
    assert len(outcomes) == writers
    assert len(set(outcomes)) == 1
    stored = MemoryStore.get(store, BUCKET, object_key(ID), max_bytes=1 << 20, deadline_s=1).data
    assert published(stored_outcome(stored, ID)) == outcomes[0]


HEADERS = st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=40)), max_size=6).map(tuple)


@given(key=st.none() | st.binary(max_size=50), value=st.none() | st.binary(max_size=200), headers=HEADERS)
def test_what_is_read_back_is_what_was_stored_byte_by_byte(key, value, headers):
    """Property: any key, value and headers that Kafka can carry; nothing is normalised, and absent is not empty."""
    record = Record("images", 1, 5, key, value, headers)
    outcome = letter(record=record)
    assert published(stored_outcome(outcome.settled().to_bytes(), ID)) == published(outcome)
    assert (outcome.key, outcome.value) == (key, value)


@pytest.mark.parametrize("filler", [b"\x00", b"\x01", b'"', b"\\", b"\xff", "\U0010ffff".encode(), b"a"])
async def test_the_largest_dead_letter_can_be_read_back(filler):
    """Whatever it is made of: one that cannot would be waited for without end, by a record that anybody may send."""
    value = (filler * (256 * 1024))[: 255 * 1024]
    outcome = letter(record=Record("images", 1, 5, b"", value))
    assert outcome.value == value
    store = MemoryStore({BUCKET})
    async with archive_on(store) as archive, asyncio.timeout(5):
        await archive.settle(outcome, passage())
        again, result = await archive.settle(outcome, passage())
        found = await archive.find(ID, passage())
    assert result == "stored"
    assert published(again) == published(found) == published(outcome)


async def test_a_store_that_refuses_our_bucket_is_waited_for():
    """A forgotten right on the outcomes says nothing of the reference: never a dead letter."""
    store = MemoryStore({BUCKET})
    store.denied.add((BUCKET, object_key(ID)))
    async with archive_on(store) as archive:
        pending = asyncio.create_task(archive.settle(letter(), passage()))
        done, _ = await asyncio.wait({pending}, timeout=0.1)
        assert not done
        store.denied.clear()
        assert (await pending)[1] == "first"


async def test_a_bucket_that_is_taken_away_is_waited_for():
    """Whoever took it away is repairing something."""
    store = MemoryStore({BUCKET}, create_buckets=False)
    async with archive_on(store) as archive:
        pending = asyncio.create_task(archive.settle(letter(), passage()))
        done, _ = await asyncio.wait({pending}, timeout=0.1)
        assert not done
        store.ensure_bucket(BUCKET)
        assert (await pending)[1] == "first"


@pytest.mark.parametrize("data", [b"", b"{}", b"not json", json.dumps({"schema": "deeptrace.outcome/1"}).encode()])
async def test_a_stored_outcome_that_somebody_spoiled_is_waited_for(data):
    """Neither judged anew behind the owner's back nor a dead letter; deleting it heals."""
    store = MemoryStore({BUCKET})
    store.put(BUCKET, object_key(ID), data, content_type="text/plain", deadline_s=1)
    async with archive_on(store) as archive:
        pending = asyncio.create_task(archive.settle(letter(), passage()))
        done, _ = await asyncio.wait({pending}, timeout=0.1)
        assert not done
        store.delete(BUCKET, object_key(ID))
        assert (await pending)[1] == "first"


@pytest.mark.parametrize(
    "changes",
    [{"topic": topics.IMAGES}, {"topic": "somebody.elses"}, {"outcome_id": "b" * 40}, {"kind": "dead_letter"}],
)
async def test_a_stored_outcome_that_does_not_belong_there_is_not_published(changes):
    """Who may write the bucket must not be able to make a worker write to other topics, or another's verdict."""
    good = letter().settled().model_dump()
    if changes == {"kind": "dead_letter"}:  # but without the header that says why
        changes = {"headers": ()}
    store = MemoryStore({BUCKET})
    forged = SettledOutcome.model_validate({**good, **changes})
    store.put(BUCKET, object_key(ID), forged.to_bytes(), content_type="text/plain", deadline_s=1)
    async with archive_on(store) as archive:
        pending = asyncio.create_task(archive.find(ID, passage()))
        done, _ = await asyncio.wait({pending}, timeout=0.1)
        assert not done
        pending.cancel()
        await asyncio.wait({pending})


class EverybodyWins(MemoryStore):
    """A server that ignores If-None-Match, as S3Proxy 2.6 does."""

    def put_if_absent(self, bucket, key, data, *, content_type, deadline_s):
        return self.put(bucket, key, data, content_type=content_type, deadline_s=deadline_s)


class Without(MemoryStore):
    """A server that knows no conditional put, and says so."""

    def put_if_absent(self, bucket, key, data, *, content_type, deadline_s):
        raise StoreUnsupported("the object store has no conditional put")


async def test_a_good_store_passes_the_check():
    """And the probe leaves nothing behind."""
    store = MemoryStore({BUCKET})
    async with archive_on(store) as archive:
        await archive.check()
    assert list(store.list(BUCKET)) == []


@pytest.mark.parametrize("broken", [EverybodyWins, Without])
async def test_where_more_than_one_may_win_a_worker_refuses_to_start(broken):
    """Exit 78, with the setting that goes without."""
    async with archive_on(broken({BUCKET})) as archive:
        with pytest.raises(StoreUnsupported) as caught:
            await archive.check()
    assert caught.value.exit_code == 78
    assert "DEEPTRACE_PIPELINE__OUTCOMES=at_least_once" in caught.value.remedy


@pytest.mark.parametrize("fault", ["away", "no bucket"])
async def test_a_store_that_cannot_be_asked_is_not_called_unfit(fault):
    """It may be fit in a minute: exit 69, and the supervisor tries again."""
    store = MemoryStore({BUCKET}, create_buckets=fault != "no bucket")
    async with archive_on(store) as archive:
        if fault == "away":
            store.close()
        with pytest.raises(StoreUnavailable) as caught:
            await archive.check()
    assert caught.value.exit_code == 69
    if fault == "no bucket":
        assert isinstance(caught.value.__cause__, BucketMissing)


def test_the_key_of_an_outcome_is_made_of_its_id_alone():
    """Input text never names an object of ours."""
    assert object_key(ID) == f"outcomes/{ID}.json"


async def test_an_outcome_that_cannot_be_read_holds_up_nobody_else():
    """A newer release wrote it, or somebody changed it: its reference waits, and the gate stays open for the others."""
    store = MemoryStore({BUCKET})
    store.put(
        BUCKET, object_key(ID), b'{"schema": "deeptrace.outcome/2"}', content_type="application/json", deadline_s=1
    )
    objects = Objects(store, SETTINGS.store.model_copy(update={"image_buckets": (BUCKET,), "overlay_bucket": BUCKET}))
    gate = Gate("object store", objects.probe, SETTINGS.pipeline)
    archive = Archive(objects, BUCKET, retries=Retries(SETTINGS.pipeline), gate=gate)
    waiting = asyncio.create_task(archive.find(ID, Passage.of(RECORD)))
    for n in range(20):
        other = dead_letter_outcome(f"{n:040x}", RECORD, NotAnImage("no"), stage="decode", attempts=1)
        assert (await archive.settle(other, Passage.of(RECORD)))[1] == "first"
        assert gate.is_open
    assert not waiting.done()
    waiting.cancel()


def test_a_verdict_of_a_newer_release_is_published_as_it_is_stored():
    """What this release cannot read it need not read."""
    newer = SettledOutcome(
        outcome_id=ID, kind="verdict", topic=topics.VERDICTS, key=b"k", value=b'{"schema": "deeptrace.verdict/9"}'
    )
    found = stored_outcome(newer.to_bytes(), ID)
    assert (found.value, found.code, found.verdict) == (newer.value, None, None)
    assert found.settled().to_bytes() == newer.to_bytes()
