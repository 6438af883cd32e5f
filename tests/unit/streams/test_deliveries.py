"""What the agents of the worker do with what Faust delivers: in order, never raising, and nothing while partitions are taken away."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from schemas.errors import BrokerUnavailable, StoreUnavailable
from schemas.incoming import Record
from schemas.retry import retry_headers
from streams.admission import Admission
from streams.deliveries import Deliveries
from streams.desk import Desk
from streams.gate import Gate
from streams.ledger import Ledger
from streams.letter_limit import LetterLimit
from streams.settings import Settings

SETTINGS = Settings.model_validate(
    {
        "kafka": {"bootstrap_servers": "127.0.0.1:9", "request_timeout_s": 2, "session_timeout_s": 2},
        "pipeline": {"in_flight": 2},
    }
)
pytestmark = pytest.mark.timeout(60)


@dataclass
class Message:
    """A record as Faust hands it over."""

    offset: int
    topic: str = "images"
    partition: int = 0
    generation_id: int = 1
    key: bytes | None = None
    value: bytes | None = b"value"
    headers: list[tuple[str, bytes]] | None = None
    timestamp: float = 1_700_000_000.0


@dataclass
class Event:
    """A delivery as Faust hands it over."""

    message: Message
    acked: bool = field(default=False)


class Agent:
    """Deliveries with everything around them; work is done at once and noted."""

    def __init__(self, committed=0, delays=(10.0,)):
        settings = SETTINGS.model_copy(update={"kafka": SETTINGS.kafka.model_copy(update={"retry_delays_s": delays})})
        self.worked = []
        self.forgotten = []
        self.leaving = False
        self.ledger = Ledger(lambda event: setattr(event, "acked", True))
        self.gate = Gate("object store", asyncio.Event().wait, SETTINGS.pipeline)
        self.desk = Desk(
            self._work,
            ledger=self.ledger,
            admission=Admission(self.gate, LetterLimit(SETTINGS.pipeline)),
            forget=lambda event: self.forgotten.append(event.message.offset),
            in_flight=2,
        )
        self.deliveries = Deliveries(
            settings,
            ledger=self.ledger,
            desk=self.desk,
            committed=lambda _topic, _partition: committed,
            leaving=lambda: self.leaving,
        )

    async def _work(self, entry, delivery):
        self.worked.append(delivery)
        entry.lane.unknown_in_a_row += 1
        self.ledger.finish(entry)

    async def take(self, *messages, step=0):
        events = [Event(message) for message in messages]

        async def stream():
            for event in events:
                yield event

        async with asyncio.timeout(30):
            if step:
                await self.deliveries.take_retries(stream(), step)
            else:
                await self.deliveries.take(stream())
            while self.desk.in_hand:
                await asyncio.sleep(0)
        return events


async def test_records_are_worked_on_as_they_lie_on_the_topic():
    """Key, value, headers and time untouched, and acknowledged."""
    agent = Agent()
    [event] = await agent.take(Message(0, key=b"k", value=None, headers=[("ce_id", b"1")]))
    [delivery] = agent.worked
    moment = datetime.fromtimestamp(1_700_000_000, UTC)
    assert delivery.record == Record("images", 0, 0, b"k", None, (("ce_id", b"1"),), moment)
    assert (delivery.retry, delivery.step, delivery.again) == (None, 0, True)
    assert event.acked


async def test_nothing_is_taken_while_partitions_are_taken_away():
    """What is in hand may have been let go already: a later record that was acknowledged would be committed past it."""
    agent = Agent()
    agent.leaving = True
    events = await agent.take(Message(0), Message(1))
    assert agent.worked == []
    assert agent.forgotten == [0, 1]  # or Faust would wait for them, and the group for Faust
    assert not any(event.acked for event in events)
    assert agent.ledger.next_offset("images", 0, 1) is None


async def test_after_so_many_new_ones_in_a_row_nothing_is_looked_up():
    """The first of a generation may be repeats of what a dead worker had in flight; the rest are not worth a request each."""
    agent = Agent()
    for offset in range(4):
        await agent.take(Message(offset))
    await agent.take(Message(0, generation_id=2))
    assert [delivery.again for delivery in agent.worked] == [True, True, False, False, True]


async def test_a_hole_that_nobody_can_be_asked_about_ends_the_worker():
    """Going on might commit past records that were never delivered; the first delivery of a partition is held to the commit."""
    agent = Agent(committed=5)
    events = await agent.take(Message(7), Message(8))
    assert isinstance(agent.desk.failure.result(), BrokerUnavailable)
    assert agent.worked == []
    assert not any(event.acked for event in events)


async def test_without_a_hole_the_broker_is_not_asked():
    """There is none to ask here; that would end the worker."""
    agent = Agent(committed=7)
    await agent.take(Message(7), Message(8))
    fresh = Agent(committed=None)
    await fresh.take(Message(0), Message(1), Message(0, partition=1))
    assert not agent.desk.failure.done()
    assert not fresh.desk.failure.done()
    assert (len(agent.worked), len(fresh.worked)) == (2, 3)


async def test_where_nothing_was_committed_the_first_delivery_is_held_against_the_beginning():
    """Faust may drop what was fetched before the first commit, too."""
    agent = Agent(committed=None)
    await agent.take(Message(500))
    assert isinstance(agent.desk.failure.result(), BrokerUnavailable)
    assert agent.worked == []


async def test_a_retry_never_waits_longer_than_its_topic():
    """A clock that is two hours ahead wrote it; those behind it must not wait for that."""
    agent = Agent(delays=(0.1,))
    async with asyncio.timeout(5):
        await agent.take(on_retry_topic(0, due_in_s=7200), step=1)
    assert len(agent.worked) == 1


def on_retry_topic(offset, due_in_s, origin=41):
    original = Record("deeptrace.images.v1", 3, origin, b"k", b"value", (("mine", b"1"),), datetime.now(UTC))
    headers = retry_headers(
        original,
        outcome_id="a" * 40,
        not_before=datetime.now(UTC) + timedelta(seconds=due_in_s),
        attempts=4,
        first_seen=datetime.now(UTC),
        code="object_not_found",
    )
    return Message(offset, topic="deeptrace.images.v1.retry.1", key=b"k", headers=list(headers))


async def test_a_retry_is_held_back_until_it_is_due_and_comes_as_the_original():
    """With its place on the images topic."""
    agent = Agent()
    began_at = time.monotonic()
    await agent.take(on_retry_topic(0, due_in_s=0.2), step=1)
    [delivery] = agent.worked
    assert time.monotonic() - began_at > 0.1
    assert (delivery.record.topic, delivery.record.partition, delivery.record.offset) == ("deeptrace.images.v1", 3, 41)
    assert delivery.record.headers == (("mine", b"1"),)
    assert (delivery.step, delivery.retry.attempts) == (1, 4)


async def test_a_stranger_on_a_retry_topic_is_not_held_back():
    """It has no time to wait for, and is judged as it is."""
    agent = Agent()
    await agent.take(Message(0, topic="deeptrace.images.v1.retry.1"), step=1)
    [delivery] = agent.worked
    assert delivery.retry is None
    assert delivery.record.topic == "deeptrace.images.v1.retry.1"


async def test_a_retry_in_its_wait_is_given_back_at_once():
    """A rebalance must not take as long as the longest wait; the next record is looked at as ever."""
    agent = Agent()
    taking = asyncio.create_task(agent.take(on_retry_topic(0, due_in_s=3600), Message(0, partition=1), step=1))
    while agent.ledger.unfinished == 0:
        await asyncio.sleep(0)
    await agent.desk.let_go(60)
    events = await taking
    assert agent.forgotten == [0]
    assert [event.acked for event in events] == [False, True]


async def test_an_agent_that_waits_for_the_store_gives_its_record_back():
    """Taken away while nothing was taken in: it is not started when the store is back."""
    agent = Agent()
    agent.gate.report(StoreUnavailable("the object store does not answer"), time.monotonic())
    taking = asyncio.create_task(agent.take(Message(0)))
    while agent.ledger.unfinished == 0:
        await asyncio.sleep(0)
    await agent.desk.let_go(60)
    [event] = await taking
    assert (agent.worked, agent.forgotten, event.acked) == ([], [0], False)
    await agent.gate.close()
