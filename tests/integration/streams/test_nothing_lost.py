"""SIGKILL in mid-batch, three times, on a real broker and a real store: every reference gets exactly one outcome."""

import signal
from pathlib import Path

import pytest
from support.world import native, picture

pytestmark = [pytest.mark.integration, pytest.mark.slow]

REFERENCES = 2000
BAD_EVERY = 100  # each so many-th reference names an object that does not exist
KILL_AT = (300, 800, 1300)


def references(world):
    for n in range(20):
        world.put(f"picture-{n}", picture(n))
    return [
        native(f"event-{n}", "no-such-object" if n % BAD_EVERY == 7 else f"picture-{n % 20}") for n in range(REFERENCES)
    ]


async def run_with_kills(world, start):
    """Start the worker, and kill it each time so many outcomes are on the topics."""
    for kill_at in KILL_AT:
        child = start()
        await world.wait_for_outcomes(kill_at, timeout_s=120)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    return start()


async def test_a_killed_worker_loses_nothing_and_decides_nothing_twice(world):
    """2,000 references, 20 of them bad, 3 x SIGKILL: none missing, none with two outcomes."""
    await world.publish(references(world))
    last = await run_with_kills(world, lambda: world.worker(DEEPTRACE_PIPELINE__RETRY_FIRST_S="0.02"))
    await world.wait_for_all(timeout_s=120)
    last.send_signal(signal.SIGTERM)
    assert last.wait(60) == 0
    count = await world.count()
    assert len(count.accepted) == REFERENCES
    assert count.missing == set()
    assert count.both == set()
    assert count.several_ids == set()
    assert count.kinds("dead letter") == {f"event-{n}" for n in range(REFERENCES) if n % BAD_EVERY == 7}
    repeats = sum(len(found) for found in count.outcomes.values()) - REFERENCES
    print(f"repeated records after 3 kills: {repeats}")


async def test_the_obvious_agent_loses_references_under_the_same_run(world):
    """The measure: `take()` acknowledges a batch whose body raised, so its other images never get an outcome."""
    await world.publish(references(world))
    script = str(Path(__file__).parents[2] / "faults" / "harness" / "naive_agent.py")
    for kills in range(1, 9):
        child = world.start(script, "worker", "--without-web", log="naive.log")
        await world.settled(quiet_s=8, timeout_s=60)
        child.send_signal(signal.SIGKILL)
        child.wait()
        count, committed = await world.count(), await world.committed("naive")
        lost = {i for i in count.missing if count.accepted[i][1] < committed[count.accepted[i][0]]}
        if kills >= len(KILL_AT) and lost:
            break
    print(f"lost by the take() agent: {len(lost)} of {REFERENCES} (committed past, no outcome)")
    assert len(lost) > REFERENCES // BAD_EVERY, "it must lose more than the bad references themselves"
