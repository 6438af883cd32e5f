"""The watchdog: ends a worker that has work and does none, and no other; blocked loops are shown in processes of their own."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from schemas.errors import BrokerUnavailable, NoProgress
from streams.watchdog import EXIT_STALLED, Watchdog

STALL_S = 0.3
pytestmark = pytest.mark.timeout(60)


class Worker:
    """What a watchdog sees of one."""

    def __init__(self):
        self.finished = 0
        self.held_up = False
        self.asked = 0
        self.waits = True

    async def has_work(self):
        self.asked += 1
        if isinstance(self.waits, Exception):
            raise self.waits
        return self.waits

    def watchdog(self, has_work=None):
        return Watchdog(
            stall_s=STALL_S,
            finished=lambda: self.finished,
            held_up=lambda: self.held_up,
            has_work=has_work or self.has_work,
        )


async def barks(watchdog, within_s):
    """Return what the watchdog says within so many seconds, or None."""
    watching = asyncio.create_task(watchdog.stalled())
    await asyncio.wait({watching}, timeout=within_s)
    if watching.done():
        return watching.result()
    watching.cancel()
    await asyncio.wait({watching})
    return None


async def test_references_wait_and_none_is_finished():
    """It says so, with exit 70, and where every task and thread was."""
    error = await barks(Worker().watchdog(), 5)
    assert isinstance(error, NoProgress)
    assert (error.code, error.exit_code) == ("no_progress", 70)
    assert "references wait" in error.why


async def test_the_stacks_are_written(capfd):
    """Places in the code of every thread and task, and nothing of what they work on."""
    secret = "the-key-of-an-object"

    async def hanging(_key):
        await asyncio.sleep(60)

    task = asyncio.create_task(hanging(secret))
    assert await barks(Worker().watchdog(), 5)
    task.cancel()
    written = "".join(capfd.readouterr())
    assert "hanging" in written
    assert "Thread 0x" in written
    assert secret not in written


async def test_readiness_falls_before_the_worker_does():
    """Once half the time is gone; whoever looks sees it coming."""
    watchdog = Worker().watchdog()
    watching = asyncio.create_task(watchdog.stalled())
    assert watchdog.why_not_ready is None
    while watchdog.why_not_ready is None:
        await asyncio.sleep(0.01)
    assert not watching.done()
    assert "none was finished" in watchdog.why_not_ready
    await watching


@pytest.mark.parametrize("state", ["idle", "held up", "broker away"])
async def test_a_worker_with_a_reason_is_left_alone(state):
    """Nothing to do, a store that is down, a broker that does not answer: for many times the time of a stall."""
    worker = Worker()
    worker.waits = {"idle": False, "held up": True, "broker away": BrokerUnavailable("away")}[state]
    worker.held_up = state == "held up"
    watchdog = worker.watchdog()
    assert await barks(watchdog, 5 * STALL_S) is None
    assert watchdog.why_not_ready is None
    assert worker.asked <= 12  # an idle worker asks the broker about twice in the time of a stall


async def test_a_slow_worker_is_left_alone():
    """One reference now and then is progress."""
    worker = Worker()
    watching = asyncio.create_task(worker.watchdog().stalled())
    for _ in range(20):
        await asyncio.sleep(STALL_S / 4)
        worker.finished += 1
    assert not watching.done()
    watching.cancel()
    await asyncio.wait({watching})


async def test_the_time_begins_anew_when_what_held_it_up_is_over():
    """A store that was down for an hour is no reason to end the worker the moment it is back."""
    worker = Worker()
    worker.held_up = True
    watching = asyncio.create_task(worker.watchdog().stalled())
    await asyncio.sleep(3 * STALL_S)
    worker.held_up = False
    await asyncio.sleep(STALL_S / 3)
    assert not watching.done()
    assert isinstance(await watching, NoProgress)


async def test_a_broker_that_takes_its_time_to_answer_does_not_hide_a_stall():
    """Slower than the watchdog looks: what it says still counts."""

    async def slow():
        await asyncio.sleep(0.6 * STALL_S)
        return True

    assert isinstance(await barks(Worker().watchdog(slow), 20 * STALL_S), NoProgress)


async def test_a_broker_that_never_answers_is_no_stall():
    """It is away: known, and waited for."""

    async def never():
        await asyncio.Event().wait()

    assert await barks(Worker().watchdog(never), 10 * STALL_S) is None


def run(body: str, *, while_it_runs=lambda _child: None) -> tuple[int, str]:
    """Run an event loop with a watchdog of 0.5 s in a process of its own; return how it ended and what it wrote."""
    script = f"""
import asyncio, time
from streams.watchdog import Watchdog
done = 0
async def has_work(): return True
async def main():
    global done, has_work
{body}
asyncio.run(main())
"""
    child = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        while_it_runs(child)
        _, said = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    return child.returncode, said


WATCH = """
    dog = Watchdog(stall_s=0.5, finished=lambda: done, held_up=lambda: False, has_work=lambda: has_work())
    watching = asyncio.ensure_future(dog.stalled())
"""


def test_a_blocked_event_loop_ends_the_process():
    """Nothing on the loop could: the stacks say what blocks it."""
    code, said = run(WATCH + "    await asyncio.sleep(0.1)\n    time.sleep(20)\n")
    assert code == EXIT_STALLED
    assert "most recent call first" in said


def test_a_broker_that_hangs_is_not_a_blocked_event_loop():
    """While the question of whether references wait hangs for long, the loop is free, and the worker may not end."""
    body = (
        """
    async def has_work(): await asyncio.sleep(60)
"""
        + WATCH
        + "    await asyncio.sleep(4)\n    print('alive')\n"
    )
    code, _ = run(body)
    assert code == 0


def test_a_process_that_was_suspended_goes_on():
    """SIGSTOP for several times the time of a stall, then CONT: it was the machine that stood still, not its work."""

    def suspend(child):
        time.sleep(1.5)
        child.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        child.send_signal(signal.SIGCONT)

    body = (
        WATCH
        + """
    for _ in range(120):
        await asyncio.sleep(0.05)
        done += 1
        assert not watching.done()
"""
    )
    code, _ = run(body, while_it_runs=suspend)
    assert code == 0
