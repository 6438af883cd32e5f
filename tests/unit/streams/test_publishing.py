"""References are sent as fast as the broker takes them, a bounded number at once, and none is forgotten."""

import asyncio

import pytest

from schemas.errors import BrokerUnavailable
from schemas.image_ref import ImageRef, ObjectRef
from streams.publishing import UNDER_WAY, Upload, paced, publish_all


def ref(number):
    return ImageRef(event_id=f"event-{number}", image_id=f"image-{number}", object=ObjectRef(bucket="bkt", key="key"))


async def refs(count):
    for number in range(count):
        yield ref(number)


def names(found):
    return [one.event_id for one in found]


class Broker:
    """Answers nobody before `crowd` are waiting, and fails for the events named."""

    def __init__(self, crowd, failing=()):
        self.crowd, self.failing = crowd, failing
        self.waiting = self.most = self.answered = 0
        self.enough = asyncio.Event()

    async def send(self, one):
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        if self.waiting >= self.crowd:
            self.enough.set()
        await self.enough.wait()
        self.waiting -= 1
        self.answered += 1
        if one.event_id in self.failing:
            raise BrokerUnavailable(one.event_id)


async def test_a_full_window_is_under_way_and_no_more():
    """One by one would wait for ever here; without a bound more than the window would be seen."""
    broker, accepted = Broker(crowd=UNDER_WAY), []
    async with asyncio.timeout(5):
        await publish_all(refs(UNDER_WAY * 3), broker.send, accepted=accepted.append)
    assert broker.most == UNDER_WAY
    assert names(accepted) == names([ref(number) for number in range(UNDER_WAY * 3)])


async def test_the_last_ones_are_awaited():
    """Fewer than the window, answered only once all of them wait."""
    accepted = []
    await publish_all(refs(3), Broker(crowd=3).send, accepted=accepted.append)
    assert names(accepted) == ["event-0", "event-1", "event-2"]


async def test_a_failure_is_raised_after_the_others_have_their_answer():
    """What the broker has is said to be accepted, whatever failed before it."""
    broker, accepted = Broker(crowd=4, failing={"event-1", "event-2"}), []
    with pytest.raises(BrokerUnavailable, match="event-1"):
        await publish_all(refs(4), broker.send, accepted=accepted.append)
    assert broker.answered == 4
    assert names(accepted) == ["event-0", "event-3"]


async def test_a_failure_of_the_source_is_raised_after_the_answers():
    """Such as an upload that the store refuses."""

    async def source():
        yield ref(0)
        raise OSError("gone")

    accepted = []
    with pytest.raises(OSError, match="gone"):
        await publish_all(source(), Broker(crowd=1).send, accepted=accepted.append)
    assert names(accepted) == ["event-0"]


async def test_a_rate_is_kept():
    """Six at fifty a second take at least a tenth of a second, window or not."""

    async def at_a_rate():
        async for item in paced((Upload(f"image-{n}", "bkt", "key", 1, "") for n in range(6)), rate=50):
            yield ref(item.image_id)

    accepted = []
    before = asyncio.get_running_loop().time()
    await publish_all(at_a_rate(), Broker(crowd=1).send, accepted=accepted.append)
    assert asyncio.get_running_loop().time() - before >= 0.095
    assert len(accepted) == 6
