"""Brokers that die, and brokers that cannot be reached."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from faults.harness.case import Case
from faults.harness.tcp_proxy import TcpProxy
from faults.harness.testbed import Plan
from faults.harness.trial import Trial

from schemas.topics import IMAGES

RATE = 100
SHORT_SESSION = {"DEEPTRACE_KAFKA__SESSION_TIMEOUT_S": "6"}
RECOVERY_S = 30.0


async def broker_restart(trial: Trial) -> None:
    """Kill the only broker, and start it again on its data."""
    await trial.start_workers()
    rounds = trial.pick(fast=1, full=5, naive=1)
    running = asyncio.create_task(
        trial.publish(at_least=rounds * 5 * RATE, at_most=40_000, rate=RATE, until=lambda: done)
    )
    done = False
    broker = trial.bed.broker
    assert broker is not None
    for _ in range(rounds):
        await trial.sleep(4)
        await asyncio.to_thread(broker.kill)
        trial.fault("broker kill")
        await trial.sleep(1)
        await asyncio.to_thread(broker.restart)
        trial.healed("broker kill")
        await trial.moving(90)
    done = True
    await running
    trial.claim_recovery("a broker restart", RECOVERY_S)


async def leader_kill(trial: Trial) -> None:
    """Kill the node that leads partition 0 of the images, then the one that coordinates the group, in turn; restart each later."""
    await trial.start_workers()
    rounds = trial.pick(fast=1, full=4, naive=1)
    running = asyncio.create_task(
        trial.publish(at_least=rounds * 5 * RATE, at_most=40_000, rate=RATE, until=lambda: done)
    )
    done = False
    cluster = trial.bed.cluster
    assert cluster is not None
    for turn in range(rounds):
        await trial.sleep(3)
        node, role = await (_leader(trial) if turn % 2 == 0 else _coordinator(trial))
        await asyncio.to_thread(cluster.kill, node)
        trial.fault(f"{role} kill")
        trial.healed(f"{role} kill, from the kill on")
        await trial.sleep(10)
        await asyncio.to_thread(cluster.restart, node)
        await trial.moving(90)
    done = True
    await running


async def _leader(trial: Trial) -> tuple[int, str]:
    async with _admin(trial) as admin:
        [topic] = [one for one in await admin.describe_topics() if one["topic"] == IMAGES]
    return int(next(one["leader"] for one in topic["partitions"] if one["partition"] == 0)), "leader"


async def _coordinator(trial: Trial) -> tuple[int, str]:
    group = "naive" if trial.is_naive else trial.bed.settings.kafka.group
    async with _admin(trial) as admin:
        return int(await admin.find_coordinator(group)), "coordinator"


@asynccontextmanager
async def _admin(trial: Trial) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=trial.bed.bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def partition_broker(trial: Trial) -> None:
    """Cut one worker off the broker: both ways, then only what it says, then only what it hears; then all workers both ways."""
    await cut_off(trial, lambda slot: trial.bed.links[slot].broker, "broker")


async def partition_store(trial: Trial) -> None:
    """The same between worker and store."""
    await cut_off(trial, lambda slot: trial.bed.links[slot].store, "store")


async def cut_off(trial: Trial, proxy: Callable[[int], TcpProxy], what: str) -> None:
    """Drop the bytes between the first worker, then all of them, and `what`; heal after longer than a session."""
    await trial.start_workers()
    seconds = trial.pick(fast=8, full=14, naive=8)
    ways = [("both ways", True, True), ("to it", True, False), ("from it", False, True)]
    if trial.scale == "fast" or trial.is_naive:
        ways = ways[:1]
    cuts = [(*way, [0]) for way in ways]
    cuts.append(("both ways, all workers", True, True, list(range(len(trial.slots)))))
    running = asyncio.create_task(trial.publish(at_least=5 * RATE, at_most=40_000, rate=RATE, until=lambda: done))
    done = False
    for name, up, down, slots in cuts:
        await trial.sleep(3)
        for slot in slots:
            proxy(slot).blackhole(up=up, down=down)
        trial.fault(f"{what} {name}")
        await trial.sleep(seconds)
        for slot in slots:
            proxy(slot).clear()
        trial.healed(f"{what} {name}")
        await trial.moving(90)
    done = True
    await running


CASES = [
    Case(
        "broker_restart",
        "kill -9 of the only broker, started again after a second",
        broker_restart,
        naive=True,
        full_limit_s=600,
    ),
    Case(
        "leader_kill",
        "three brokers: kill -9 of a partition's leader and of the group's coordinator, in turn, back after 10 s",
        leader_kill,
        plan=Plan(brokers=3),
        naive=True,
    ),
    Case(
        "partition_broker",
        "no bytes between worker and broker: both ways, one way, the other way; one worker, then all",
        partition_broker,
        plan=Plan(proxied=True, settings=SHORT_SESSION),
        naive=True,
    ),
    Case(
        "partition_store",
        "the same between worker and store",
        partition_store,
        plan=Plan(proxied=True),
        naive=True,
    ),
]
