"""What makes a worker die or its model fail must not do so for ever: real processes, restarted as a supervisor would."""

import asyncio
import re
import signal
import time

import pytest
from support.world import native, picture

pytestmark = [pytest.mark.integration, pytest.mark.slow]

REFERENCES = 200
MOST_LIVES = 8
QUICK = {"DEEPTRACE_PIPELINE__RETRY_FIRST_S": "0.02", "DEEPTRACE_KAFKA__SESSION_TIMEOUT_S": "6"}


async def restarted(world, wanted, **env):
    """Run one slot as a supervisor does until so many outcomes are there; return how each life ended, and the last one."""
    ends = []
    for _ in range(MOST_LIVES):
        worker = world.worker(**QUICK, **env)
        deadline = time.monotonic() + 90
        while worker.poll() is None and time.monotonic() < deadline:
            if len((await world.count()).outcomes) >= wanted:
                return ends, worker
            await asyncio.sleep(0.2)
        ends.append(await asyncio.to_thread(worker.wait, 5))
    pytest.fail(f"no end of it: {ends}\n{(world.folder / 'worker.log').read_text()[-3000:]}")


async def test_an_image_that_kills_the_worker_is_a_dead_letter_after_three_deaths(world):
    """All others get verdicts, also those that were in flight beside it."""
    world.put("good", picture(1))
    await world.publish(
        [native(f"event-{n}", "good", image_id="poison" if n == 57 else f"image-{n}") for n in range(REFERENCES)]
    )
    ends, worker = await restarted(world, REFERENCES, DEEPTRACE_FAULTS__FAILPOINTS="after_judge=abort~poison")
    assert ends == [-signal.SIGABRT] * 3
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 40) == 0
    count = await world.count()
    assert count.missing == set()
    assert count.both == set()
    assert count.kinds("dead letter") == {"event-57"}
    shown = await asyncio.to_thread(world.run, "dlq", "list", "--json")
    assert '"crash_suspect"' in shown.stdout


async def test_two_poisons_are_both_found_and_nobody_else_is(world):
    """Each costs its own deaths, and a neighbour of both is judged."""
    world.put("good", picture(1))
    await world.publish(
        [native(f"event-{n}", "good", image_id="poison" if n in {3, 4} else f"image-{n}") for n in range(40)]
    )
    ends, worker = await restarted(world, 40, DEEPTRACE_FAULTS__FAILPOINTS="after_judge=abort~poison")
    assert set(ends) == {-signal.SIGABRT}
    assert len(ends) <= 6
    count = await world.count()
    assert count.missing == set()
    assert count.kinds("dead letter") == {"event-3", "event-4"}
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 40) == 0


async def test_batches_that_are_too_large_for_the_device_cost_nobody_a_verdict(world, http):
    """Each is judged in parts, and what fits is remembered."""
    world.put("good", picture(1))
    await world.publish([native(f"event-{n}", "good") for n in range(REFERENCES)])
    worker = world.worker(
        DEEPTRACE_FAULTS__FAILPOINTS="judge=oom>4",
        DEEPTRACE_HTTP__PORT="16170",
        DEEPTRACE_MODEL__MAX_BATCH="16",
        **QUICK,
    )
    count = await world.wait_for_all(90)
    assert count.missing == set()
    assert count.kinds("dead letter") == set()
    _, body = await asyncio.to_thread(http, "http://127.0.0.1:16170/metrics")
    size = float(re.search(rb"^deeptrace_safe_batch_size (\S+)$", body, re.MULTILINE)[1])
    failed = b"batch too large" in (world.folder / "worker.log").read_bytes()
    assert size <= 4 + 1 if failed else size == 16  # a slow machine may never have had five to judge at once
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 40) == 0
