"""The life of a service, and how its end becomes an exit code."""

import asyncio
import os
import signal

import pytest

from schemas.errors import DependencyDownTooLong, TopicMissing
from streams.deadline import ends_within
from streams.runner import run_service


class Script:
    """A service that does what it is told and notes what is asked of it."""

    def __init__(self, *, refuse=None, fail=None, signal_at_start=False, slow_start=False):
        self.asked = []
        self._refuse, self._fail = refuse, fail
        self._signal, self._slow = signal_at_start, slow_start

    async def start(self):
        self.asked.append("start")
        if self._signal:
            os.kill(os.getpid(), signal.SIGTERM)
        if self._slow:
            await asyncio.sleep(3600)
        if self._refuse:
            raise self._refuse

    async def failed(self):
        if self._fail:
            return self._fail
        await asyncio.sleep(3600)
        raise AssertionError

    async def stop(self):
        self.asked.append("stop")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"signal_at_start": True}, 0),
        ({"signal_at_start": True, "slow_start": True}, 0),
        ({"refuse": TopicMissing("no topic")}, 78),
        ({"fail": DependencyDownTooLong("away")}, 75),
        ({"fail": KeyError("x")}, 70),
        ({"refuse": OSError("x")}, 70),
    ],
)
def test_each_end_has_its_exit_code_and_the_service_is_always_stopped(script, code):
    """Told to stop (be it in mid-start): 0; refused or failed on purpose: the error's own; anything else: 70."""
    service = Script(**script)
    assert run_service(lambda: service) == code
    assert service.asked == ["start", "stop"]


async def test_work_that_swallows_its_cancellation_is_left_behind():
    """asyncio.wait_for would wait for it without end."""
    release = asyncio.Event()

    async def stubborn():
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    assert await ends_within(stubborn(), 0.01) is False
    release.set()
    await asyncio.sleep(0)
    assert await ends_within(asyncio.sleep(0), 5) is True
    with pytest.raises(ZeroDivisionError):
        await ends_within(fail(), 5)


async def fail():
    return 1 / 0
