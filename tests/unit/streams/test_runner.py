"""The life of a service, and how its end becomes an exit code.

`run_service` owns its process (it may leave by `os._exit`), so each case runs in a process of its own.
"""

import asyncio
import subprocess
import sys

import pytest

from streams.deadline import ends_within

SCRIPT = """
import asyncio, os, signal, threading, time
from schemas.errors import DependencyDownTooLong, TopicMissing
from streams.logs import configure_logs
from streams.runner import run_service
from streams.settings import LogSettings

configure_logs(LogSettings())

class Service:
    async def start(self):
        print("start", flush=True)
        {start}
    async def failed(self):
        {failed}
        await asyncio.sleep(3600)
    async def stop(self):
        print("stop", flush=True)
        {stop}

raise SystemExit(run_service(Service))
"""
TOLD = "os.kill(os.getpid(), signal.SIGTERM)"


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ({"start": TOLD}, 0),
        ({"start": f"{TOLD}; await asyncio.sleep(3600)"}, 0),
        ({"start": "raise TopicMissing('no topic')"}, 78),
        ({"start": "raise OSError"}, 70),
        ({"failed": "return DependencyDownTooLong('away')"}, 75),
        ({"failed": "return KeyError('x')"}, 70),
        ({"start": TOLD, "stop": "threading.Thread(target=time.sleep, args=(3600,)).start()"}, 0),
        ({"failed": "return KeyError('x')", "stop": "threading.Thread(target=time.sleep, args=(3600,)).start()"}, 70),
    ],
    ids=lambda value: str(value)[:60],
)
def test_each_end_has_its_exit_code_and_the_service_is_always_stopped(service, code):
    """Told to stop (be it in mid-start): 0; refused or failed on purpose: the error's own; anything else: 70, whatever hangs."""
    script = SCRIPT.format(**{"start": "pass", "failed": "pass", "stop": "pass", **service})
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == code, ended.stderr
    assert ended.stdout.split() == ["start", "stop"]


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
