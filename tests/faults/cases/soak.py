"""Everything at once for a long time: does it stay right, and does memory stay flat."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator

from faults.cases.intake import NO_LIMIT, SOON, garbage_item
from faults.harness.case import Case
from faults.harness.conclusion import slope_mib_per_h
from faults.harness.load import Item
from faults.harness.tcp_proxy import CLEAR, Line
from faults.harness.testbed import Plan
from faults.harness.trial import Trial
from support.hostile import hostile_images

RATE = 45
MINUTES = 46
FAST_S = 50
FLAT_MIB_PER_H = 30.0
SMALL = 64 * 1024


async def soak(trial: Trial) -> None:
    """Publish good, hostile, repeated and garbage records all the time, and bring about one fault after the other, drawn by the seed.

    The first worker is never ended, so its memory is one curve; the second one is killed, stopped and frozen.
    """
    small = [one for one in hostile_images() if len(one[1]) < SMALL]
    hostile = await asyncio.to_thread(lambda: [trial.bed.put(f"hostile/{name}", data) for name, data, _ in small])
    await trial.start_workers()
    seconds = FAST_S if trial.scale == "fast" else MINUTES * 60
    ends_at = time.monotonic() + seconds
    running = asyncio.create_task(
        trial.publish(
            _items(trial, trial.mix(hostile=hostile, hostile_share=0.02)),
            at_least=10 * RATE,
            at_most=seconds * RATE * 2,
            rate=RATE,
            until=lambda: time.monotonic() > ends_at,
        )
    )
    faults, last = _faults(trial), ""
    while time.monotonic() < ends_at:
        last = trial.draw.choice([name for name in faults if name != last])
        await faults[last]()
        if last != "kill":  # the death itself is counted, when it comes
            trial.fault(last)
            trial.healed(last)
        await trial.moving(90)
        await trial.sleep(trial.draw.uniform(*((3, 6) if trial.scale == "fast" else (15, 40))))
    await running
    trial.owed.append(lambda: _flat(trial))


def _items(trial: Trial, mix: Iterator[Item]) -> Iterator[Item]:
    draw, recent = random.Random(f"{trial.seed}-soak"), []
    n = 0
    while True:
        n += 1
        share = draw.random()
        if share < 0.01:
            yield garbage_item(draw, n, trial.pictures[0])
        elif share < 0.04 and recent:
            yield draw.choice(recent)
        else:
            item = next(mix)
            recent = [*recent[-100:], item]
            yield item


def _faults(trial: Trial) -> dict[str, Callable[[], Awaitable[None]]]:
    bed, mortal = trial.bed, trial.slots[1]
    assert bed.broker is not None
    broker = bed.broker

    async def kill() -> None:
        mortal.send(signal.SIGKILL)

    async def terminate() -> None:
        mortal.send(signal.SIGTERM)

    async def freeze() -> None:
        mortal.send(signal.SIGSTOP)
        await trial.sleep(14)
        mortal.send(signal.SIGCONT)

    async def broker_kill() -> None:
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.restart)

    async def store_kill() -> None:
        await asyncio.to_thread(bed.store_server.kill)
        await trial.sleep(trial.draw.uniform(3, 15))
        await asyncio.to_thread(bed.store_server.restart)

    async def slow() -> None:
        for link in bed.links:
            link.store.line = Line(latency_s=0.3)
        await trial.sleep(10)
        for link in bed.links:
            link.store.line = CLEAR

    async def cut() -> None:
        for link in bed.links:
            link.store.cut()
            link.broker.cut()

    async def no_broker() -> None:
        bed.links[1].broker.blackhole()
        await trial.sleep(trial.draw.uniform(5, 14))
        bed.links[1].broker.clear()

    async def no_store() -> None:
        bed.links[0].store.blackhole()
        await trial.sleep(trial.draw.uniform(5, 14))
        bed.links[0].store.clear()

    return {
        "kill": kill,
        "SIGTERM": terminate,
        "freeze": freeze,
        "broker kill": broker_kill,
        "store down": store_kill,
        "slow store": slow,
        "connections cut": cut,
        "no broker": no_broker,
        "no store": no_store,
    }


def _flat(trial: Trial) -> None:
    immortal = trial.slots[0]
    slope = slope_mib_per_h(immortal.rss_samples)
    lives = len(immortal.lives)
    trial.figures["rss_slope_mib_per_h"] = None if slope is None else round(slope, 1)
    trial.figures["soak_minutes"] = round((time.monotonic() - trial.began) / 60, 1)
    trial.claim("the worker that nobody ended never ended", lives == 1, lives)
    if trial.scale == "full":
        flat = slope is not None and slope < FLAT_MIB_PER_H
        trial.claim(f"memory grows by less than {FLAT_MIB_PER_H:g} MiB an hour", flat, f"{slope} MiB/h")


CASES = [
    Case(
        "soak",
        f"a random mix of the faults above for {MINUTES} minutes (fast: {FAST_S} s)",
        soak,
        plan=Plan(proxied=True, store="minio", settings=NO_LIMIT | SOON),
        fast_limit_s=360,
        full_limit_s=MINUTES * 60 + 900,
    )
]
