"""The life of a worker: it stops in time, is restarted unnoticed, gives way in a rebalance, and ends itself only when it must."""

import asyncio
import json
import re
import signal
import time

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from support.world import IMAGES, LETTERS, VERDICTS, ce, native, picture

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STALL_S = 3
PATIENT = {
    "DEEPTRACE_KAFKA__SESSION_TIMEOUT_S": "45"
}  # as by default: a restart takes less, so the group never notices
SOON_S = 40  # it takes one or two; machines that run tests may be slow
MOST_UNDER_LOAD = 1000
QUICK = {
    "DEEPTRACE_PIPELINE__RETRY_FIRST_S": "0.02",
    "DEEPTRACE_PIPELINE__DEPENDENCY_WAIT_S": "0.5",
    "DEEPTRACE_STORE__READ_TIMEOUT_S": "0.5",
    "DEEPTRACE_KAFKA__SESSION_TIMEOUT_S": "6",
}


async def ended(worker, timeout_s):
    """Return the exit code."""
    return await asyncio.to_thread(worker.wait, timeout_s)


async def stays_alive(worker, seconds):
    """Return whether it lives for so long."""
    try:
        await ended(worker, seconds)
    except Exception:  # noqa: BLE001  # subprocess.TimeoutExpired is what we want
        return True
    return False


async def ready(http, port, timeout_s=60):
    """Wait until the worker on this port is ready."""
    deadline, said = time.monotonic() + timeout_s, b"nothing"
    while time.monotonic() < deadline:
        try:
            status, said = await asyncio.to_thread(http, f"http://127.0.0.1:{port}/readyz")
        except OSError:
            status = 0
        if status == 200:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"the worker never got ready: {said.decode()}")


async def outcome_records(world):
    return len(await world.records(VERDICTS, LETTERS))


async def test_a_rolling_restart_replays_nothing(world, http):
    """Two slots under load, each told to stop and started again: exit 0, and as many records as references."""
    world.put("good", picture(1))
    published, loading = 0, True

    async def load():
        nonlocal published
        while loading:
            if published < MOST_UNDER_LOAD:
                await world.publish([native(f"event-{published + n}", "good") for n in range(10)])
                published += 10
            await asyncio.sleep(0.2)

    slots = {
        slot: {
            "slot": f"slot-{slot}",
            "DEEPTRACE_HTTP__PORT": str(16180 + slot),
            "log": f"{slot}.log",
            **QUICK,
            **PATIENT,
        }
        for slot in (0, 1)
    }
    workers = {slot: start(world, **how) for slot, how in slots.items()}
    for slot in slots:
        await ready(http, 16180 + slot)
    loader = asyncio.create_task(load())
    await world.wait_for_outcomes(60, timeout_s=60)
    for slot, how in slots.items():
        workers[slot].send_signal(signal.SIGTERM)
        assert await ended(workers[slot], SOON_S) == 0
        workers[slot] = start(world, **how)
        await ready(http, 16180 + slot)
    loading = False
    await loader
    count = await world.wait_for_all(120)
    assert count.missing == set()
    for worker in workers.values():
        worker.send_signal(signal.SIGTERM)
        assert await ended(worker, SOON_S) == 0
    assert await outcome_records(world) == published


def start(world, *, slot, log, **env):
    return world.start("-m", "streams.cli", "worker", log=log, DEEPTRACE_KAFKA__INSTANCE_ID=slot, **env)


async def test_too_many_dead_letters_stop_the_intake_and_nothing_is_lost(world, http):
    """200 references that nobody can read: some dead letters, then `/readyz` says why; a restart without the limit goes on."""
    await world.publish([(b"{", ce(f"bad-{n}")) for n in range(200)])
    world.put("good", picture(1))
    first = world.worker(DEEPTRACE_HTTP__PORT="16171", DEEPTRACE_PIPELINE__DEAD_LETTERS_IN_A_ROW="20", **QUICK)
    await world.wait_for_outcomes(20, timeout_s=60)
    await world.settled(quiet_s=2, timeout_s=20)
    partitions = world.settings.kafka.partitions
    assert 20 <= await outcome_records(world) <= 20 * partitions
    status, body = await asyncio.to_thread(http, "http://127.0.0.1:16171/readyz")
    assert status == 503
    assert re.search(r"partition \d: 20 dead letters in a row", json.loads(body)["checks"]["intake"])
    assert (await asyncio.to_thread(http, "http://127.0.0.1:16171/livez"))[0] == 200
    assert first.poll() is None
    first.send_signal(signal.SIGTERM)
    assert await ended(first, 15) == 0  # nothing in flight can finish: the drain time of 20 s is not waited for
    await world.publish([native("good", "good")])
    second = world.worker(DEEPTRACE_PIPELINE__DEAD_LETTERS_IN_A_ROW="0", **QUICK)
    count = await world.wait_for_all(120)
    assert count.missing == set()
    assert count.several_ids == set()
    assert (len(count.kinds("dead letter")), count.kinds("verdict")) == (200, {"good"})
    second.send_signal(signal.SIGTERM)
    assert await ended(second, SOON_S) == 0


async def test_a_worker_that_hangs_ends_itself_and_says_where(world):
    """Exit 70 in bounded time, with the stacks of all threads and no word of what it worked on; what hung is under suspicion."""
    world.put("a-key-that-nobody-may-read", picture(1))
    await world.publish(
        [native(f"event-{n}", "a-key-that-nobody-may-read", image_id=f"a-name-of-somebody-{n}") for n in range(5)]
    )
    worker = world.worker(DEEPTRACE_FAULTS__FAILPOINTS="judge=hang", DEEPTRACE_PIPELINE__STALL_S=str(STALL_S), **QUICK)
    assert await ended(worker, 90) == 70
    log = (world.folder / "worker.log").read_text()
    assert "no_progress" in log
    assert "most recent call first" in log
    assert re.search(r"failpoints.py.+in judge", log)
    assert "a-key-that-nobody-may-read" not in log
    assert "a-name-of-somebody" not in log
    [journal] = (world.folder / ".deeptrace" / "journal").glob("*.journal")
    last_said = {line[1:]: line[0] for line in journal.read_text().splitlines()}
    assert list(last_said.values()) == ["+"] * 5  # in flight when it ended
    second = world.worker(**QUICK)
    count = await world.wait_for_all(60)
    assert count.kinds("verdict") == {f"event-{n}" for n in range(5)}
    second.send_signal(signal.SIGTERM)
    assert await ended(second, SOON_S) == 0


async def test_a_worker_that_is_idle_or_waits_for_a_dependency_is_not_ended(world, http):
    """No references; then a store, then a broker that is away, each for much longer than the watchdog's time: it is all known."""
    world.put("good", picture(1))
    worker = world.worker(DEEPTRACE_HTTP__PORT="16172", DEEPTRACE_PIPELINE__STALL_S=str(STALL_S), **QUICK)
    await ready(http, 16172)
    assert await stays_alive(worker, 2.5 * STALL_S)
    world.signal_store(signal.SIGSTOP)
    await world.publish([native(f"store-{n}", "good") for n in range(50)])
    assert await stays_alive(worker, 2.5 * STALL_S)
    world.signal_store(signal.SIGCONT)
    await world.wait_for_outcomes(50, timeout_s=90)
    assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    assert await ended(worker, SOON_S) == 0
    count = await world.count()
    assert count.missing == set()
    assert count.kinds("dead letter") == set()


async def test_a_broker_that_is_away_for_long_is_waited_for(world, http):
    """With references in hand that cannot be published: exit 70 would only make more work."""
    world.put("good", picture(1))
    worker = world.worker(DEEPTRACE_HTTP__PORT="16173", DEEPTRACE_PIPELINE__STALL_S=str(STALL_S), **QUICK)
    await ready(http, 16173)
    await world.publish([native(f"event-{n}", "good") for n in range(2000)])
    await world.wait_for_outcomes(100, timeout_s=90)
    world.signal_broker(signal.SIGSTOP)
    try:
        assert await stays_alive(worker, 4 * STALL_S)
    finally:
        world.signal_broker(signal.SIGCONT)
    count = await world.wait_for_all(120)
    assert count.missing == set()
    assert count.several_ids == set()
    worker.send_signal(signal.SIGTERM)
    assert await ended(worker, SOON_S) in {0, 70}


async def test_a_rebalance_does_not_wait_for_a_store_that_is_down(world, http):
    """A worker full of waiting references gives partitions away within seconds, again and again; each gets one outcome in the end."""
    world.put("good", picture(1))
    first = world.worker("slot-0", DEEPTRACE_HTTP__PORT="16174", **QUICK)
    await ready(http, 16174)
    await world.publish([native("first", "good")])
    await world.wait_for_outcomes(1, timeout_s=90)
    world.signal_store(signal.SIGSTOP)
    await world.publish([native(f"event-{n}", "good") for n in range(600)])
    await until_paused(http, 16174)
    for _ in range(3):
        assert await joined_s(world) < 10
        assert first.poll() is None
        await asyncio.sleep(2)  # alone again, it gets everything back
    world.signal_store(signal.SIGCONT)
    second = world.worker("slot-1", log="second.log", DEEPTRACE_HTTP__PORT="16175", **QUICK)
    await ready(http, 16175)
    count = await world.wait_for_all(120)
    assert count.missing == set()
    assert count.several_ids == set()
    assert count.kinds("dead letter") == set()
    for worker in (first, second):
        worker.send_signal(signal.SIGTERM)
        assert await ended(worker, SOON_S) == 0


async def joined_s(world):
    """Return how long another member of the group had to wait for its partitions; it takes no worker to ask for some."""
    began_at = time.monotonic()
    async with AIOKafkaConsumer(
        IMAGES,
        bootstrap_servers=world.info.bootstrap_servers,
        group_id="deeptrace-scoring",
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        enable_auto_commit=False,
    ) as member:
        while not member.assignment():
            await asyncio.sleep(0.05)
        return time.monotonic() - began_at


async def until_paused(http, port):
    for _ in range(600):
        _, body = await asyncio.to_thread(http, f"http://127.0.0.1:{port}/metrics")
        if b'deeptrace_paused{reason="store"} 1.0' in body:
            return
        await asyncio.sleep(0.1)
    pytest.fail("the worker never noticed that the store is down")
