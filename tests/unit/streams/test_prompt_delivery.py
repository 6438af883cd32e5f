"""A record that is taken at once needs no task; one that must wait is waited for as Faust does."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.drivers.aiokafka import Consumer

from streams.prompt_delivery import PromptConsumer, PromptWaits, Rest, deliver_promptly


@pytest.fixture
def consumer() -> PromptWaits:
    """What waits: Faust's consumer would start a thread."""
    return PromptWaits()


async def test_what_is_taken_at_once_makes_no_task(consumer: PromptWaits) -> None:
    """The record is taken when the call returns, and nobody else ran meanwhile."""
    taken = []

    async def take() -> None:
        taken.append(asyncio.current_task())

    tasks = len(asyncio.all_tasks())
    waiting = consumer.wait_first(take(), asyncio.Event().wait())
    with pytest.raises(StopIteration):
        waiting.send(None)
    assert taken == [asyncio.current_task()]
    assert len(asyncio.all_tasks()) == tasks


async def test_what_waits_goes_on_where_it_stands(consumer: PromptWaits) -> None:
    """A full queue: the first part runs once, the rest when there is room."""
    steps = []
    room = asyncio.Event()

    async def take() -> None:
        steps.append("begun")
        await room.wait()
        await asyncio.sleep(0)
        steps.append("taken")

    delivering = asyncio.create_task(consumer.wait_first(take(), asyncio.Event().wait()))
    await asyncio.sleep(0.01)
    assert steps == ["begun"]
    room.set()
    await asyncio.wait_for(delivering, 5)
    assert steps == ["begun", "taken"]


async def test_a_suspended_flow_ends_the_wait(consumer: PromptWaits) -> None:
    """The partitions are being taken away: what waits for room is cancelled, as with Faust's own consumer."""
    ends = []
    suspended = asyncio.Event()

    async def take() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    delivering = asyncio.create_task(consumer.wait_first(take(), suspended.wait()))
    await asyncio.sleep(0.01)
    suspended.set()
    await asyncio.wait_for(delivering, 5)
    await asyncio.sleep(0)
    assert ends == ["cancelled"]


@pytest.mark.parametrize("pause", [False, True])
async def test_an_error_is_raised(consumer: PromptWaits, pause: bool) -> None:
    """Whether it comes at once or after a wait."""

    async def fail() -> None:
        if pause:
            await asyncio.sleep(0)
        raise ValueError("no such topic")

    with pytest.raises(ValueError, match="no such topic"):
        await consumer.wait_first(fail(), asyncio.Event().wait())


async def test_other_waits_are_left_to_faust(consumer: PromptWaits) -> None:
    """Events, single waits and waits with a limit."""
    done = asyncio.Event()
    done.set()
    result = await consumer.wait_first(done, timeout=5)
    assert result.done == [done]


async def test_the_rest_of_a_coroutine_has_its_value() -> None:
    """Whoever awaits it gets what the coroutine returns."""

    async def work() -> str:
        await asyncio.sleep(0)
        return "result"

    begun = work()
    assert await Rest(begun, begun.send(None)) == "result"


def test_the_drift_worker_delivers_this_way() -> None:
    """Its consumer is Faust's own but for that one method."""
    app = SimpleNamespace(transport=SimpleNamespace(Consumer=Consumer))
    deliver_promptly(app)
    assert app.transport.Consumer is PromptConsumer
    assert PromptConsumer.wait_first is PromptWaits.wait_first
    assert issubclass(PromptConsumer, Consumer)


def test_faust_still_delivers_this_way() -> None:
    """The one place where a record and the suspension of the flow are waited for: another release may do otherwise."""
    names: Callable[..., Awaitable[None]] = BaseConsumer._drain_messages
    assert {"wait_first", "suspend_flow"} <= set(names.__code__.co_names)
