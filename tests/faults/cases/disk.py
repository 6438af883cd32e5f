"""Full disks: the store's and the broker's data lie on a small file system of their own, which something else fills.

The mounts are made in the mount namespace that `run.py` starts these cases in; they end with it.
"""

import asyncio
import errno
from pathlib import Path

from faults.cases.store import no_dead_letters
from faults.harness.case import Case
from faults.harness.testbed import Plan
from faults.harness.trial import Trial

from schemas.errors import StackUnavailable

RATE = 60
MIB = 1 << 20
STORE_MIB, BROKER_MIB = 96, 192
FILLER = "filler"


def fill(folder: Path) -> None:
    """Write until nothing more fits."""
    with (folder / FILLER).open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def free(folder: Path) -> None:
    """Give the space back."""
    (folder / FILLER).unlink(missing_ok=True)


async def disk_full_store(trial: Trial) -> None:
    """Fill the store's disk: images can still be read, but no outcome can be settled. Then make room."""
    disk = trial.bed.folder / "stack" / "s3proxy" / "data"
    await trial.start_workers()
    running = asyncio.create_task(trial.publish(at_least=5 * RATE, at_most=20_000, rate=RATE, until=lambda: done))
    done = False
    await trial.sleep(4)
    await asyncio.to_thread(fill, disk)
    trial.fault("disk full")
    await trial.sleep(trial.pick(fast=10, full=30, naive=10))
    free(disk)
    trial.healed("disk full")
    await trial.moving(120)
    await trial.sleep(3)
    done = True
    await running
    no_dead_letters(trial)


async def disk_full_broker(trial: Trial) -> None:
    """Fill the broker's disk until it gives up, make room, and start it again as its operator would."""
    disk = trial.bed.folder / "stack" / "broker" / "data"
    broker = trial.bed.broker
    assert broker is not None
    await trial.start_workers()
    running = asyncio.create_task(trial.publish(at_least=5 * RATE, at_most=20_000, rate=RATE, until=lambda: done))
    done = False
    await trial.sleep(4)
    await asyncio.to_thread(fill, disk)
    trial.fault("disk full")
    await trial.sleep(trial.pick(fast=12, full=30, naive=12))
    trial.notes.append("the broker ended by itself" if not broker.is_alive else "the broker lived on without its log")
    free(disk)
    try:
        await asyncio.to_thread(broker.restart)
    except StackUnavailable:
        await asyncio.to_thread(broker.restart)
    trial.healed("disk full")
    await trial.moving(120)
    await trial.sleep(3)
    done = True
    await running
    no_dead_letters(trial)


CASES = [
    Case(
        "disk_full_store",
        "the store's disk full, then room again",
        disk_full_store,
        plan=Plan(small_disks={"s3proxy/data": STORE_MIB}),
        private_mounts=True,
        naive=True,
    ),
    Case(
        "disk_full_broker",
        "the broker's disk full until it ends, then room and a restart",
        disk_full_broker,
        plan=Plan(small_disks={"broker/data": BROKER_MIB}),
        private_mounts=True,
        naive=True,
    ),
]
