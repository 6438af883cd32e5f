"""Workers that are told to stop, frozen, and joined by others: the life of a consumer group."""

import asyncio
import signal
import time

from faults.harness.case import Case
from faults.harness.testbed import Plan
from faults.harness.trial import Trial

RATE = 100
SHORT_SESSION = {"DEEPTRACE_KAFKA__SESSION_TIMEOUT_S": "6"}  # the least a broker grants by default
FROZEN_S = 14.0
LONGEST_SILENCE_S = 30.0


async def rolling_sigterm(trial: Trial) -> None:
    """Tell one worker after the other to stop; its supervisor starts it again, and the next one's turn comes when it is ready."""
    await trial.start_workers()
    rounds = trial.pick(fast=2, full=10, naive=2)
    running = asyncio.create_task(
        trial.publish(at_least=rounds * 2 * RATE, at_most=40_000, rate=RATE, until=lambda: done)
    )
    done, drains = False, []
    for turn in range(rounds):
        slot = trial.slots[turn % len(trial.slots)]
        lives, told_at = len(slot.lives), time.monotonic()
        slot.send(signal.SIGTERM)
        trial.fault("SIGTERM")
        await trial.until(lambda lives=lives, slot=slot: len(slot.lives) > lives, 90, f"{slot.name} did not end")
        ended = slot.lives[lives - 1].ended or told_at
        drains.append(ended - told_at)
        trial.healed("SIGTERM", ended)
        if not trial.is_naive:
            await trial.ready()
        await trial.sleep(1.0 if not trial.is_naive else 5.0)
    done = True
    await running
    trial.figures["drain_max_s"] = round(max(drains), 2)
    if not trial.is_naive:
        codes = [life.exit_code for slot in trial.slots for life in slot.lives if life.told]
        trial.claim("each worker told to stop ended with 0", all(code == 0 for code in codes), codes)
        trial.owed.append(
            lambda: trial.claim("a rolling restart replays nothing", trial.watch.repeats == 0, trial.watch.repeats)
        )


async def zombie(trial: Trial) -> None:
    """Freeze a worker for longer than its session, so that another takes over, and let it go on with what it had in hand."""
    await trial.start_workers()
    rounds = trial.pick(fast=1, full=3, naive=1)
    running = asyncio.create_task(
        trial.publish(at_least=rounds * 5 * RATE, at_most=40_000, rate=RATE, until=lambda: done)
    )
    done = False
    for turn in range(rounds):
        await trial.sleep(3)
        slot = trial.slots[turn % len(trial.slots)]
        slot.send(signal.SIGSTOP)
        trial.fault("SIGSTOP")
        trial.healed("SIGSTOP, from its begin on")
        await trial.sleep(FROZEN_S)
        slot.send(signal.SIGCONT)
        trial.healed("SIGCONT")
        await trial.sleep(5)
    done = True
    await running


async def rebalance_storm(trial: Trial) -> None:
    """Let a worker without a name of its own join and leave, about every five seconds: each time all partitions are handed out anew."""
    await trial.start_workers()
    seconds = trial.pick(fast=20, full=120, naive=30)
    running = asyncio.create_task(trial.publish(at_least=5 * RATE, at_most=40_000, rate=RATE / 2, until=lambda: done))
    done, ends_at, guests = False, time.monotonic() + seconds, []
    while time.monotonic() < ends_at:
        guest = trial.add_slot(lambda _slot, _life: {"DEEPTRACE_KAFKA__INSTANCE_ID": "<unset>"})
        guests.append(guest)
        if trial.is_naive:
            await trial.sleep(4)
        else:
            await trial.until(lambda guest=guest: guest.is_ready, 60, "the guest did not become ready")
        trial.fault("join and leave")
        await trial.sleep(1)
        await asyncio.to_thread(guest.retire)
    done = True
    trial.healed("end of the storm")
    await running
    if not trial.is_naive:
        codes = [life.exit_code for guest in guests for life in guest.lives]
        trial.claim("each guest left with 0", all(code == 0 for code in codes), codes)
        trial.owed.append(
            lambda: trial.claim(
                f"outcomes never stop for more than {LONGEST_SILENCE_S:g} s",
                trial.clock.silence_s <= LONGEST_SILENCE_S,
                f"{trial.clock.silence_s:.1f} s",
            )
        )


CASES = [
    Case("rolling_sigterm", "SIGTERM to one worker after the other", rolling_sigterm, naive=True, naive_workers=1),
    Case(
        "zombie",
        f"SIGSTOP of a worker for {FROZEN_S:g} s, beyond its session of 6 s, then SIGCONT",
        zombie,
        plan=Plan(settings=SHORT_SESSION),
        naive=True,
        naive_workers=2,
    ),
    Case(
        "rebalance_storm",
        "a worker without an instance id joins, works for a second and leaves, again and again",
        rebalance_storm,
        plan=Plan(partitions=6, settings=SHORT_SESSION),
        naive=True,
        naive_workers=2,
        full_limit_s=600,
    ),
]
