"""Workers that die: at each point of a reference's way, all at once, and what must be left of it."""

import asyncio
import random
import signal

from faults.harness.case import Case
from faults.harness.trial import Trial

RATE = 120
RECOVERY_S = 10.0
MOST_BEHIND = 600
POINTS = (
    ("before_fetch", "before its image is fetched"),
    ("after_fetch", "with the image fetched"),
    ("after_judge", "with the image judged"),
    ("after_overlay", "with the overlay written"),
    ("after_settle", "with the outcome settled, before it is published"),
    ("after_publish", "with the outcome published, before it is acknowledged"),
    ("after_ack", "with the reference acknowledged, before the commit"),
    ("after_commit", "right after a commit"),
)
HITS = {"after_commit": (2, 4), "after_overlay": (1, 4)}
"""At which hit of the point a life ends: commits come once a second, and few references want an overlay."""
KILLS = {"fast": 4, "full": 14}
NAIVE_POINTS = {"after_fetch", "after_publish"}


def kill_at(point: str) -> Case:
    """Return the case that kills two workers in turn, each life at a seeded hit of `point`."""

    async def run(trial: Trial) -> None:
        kills = trial.pick(fast=KILLS["fast"], full=KILLS["full"], naive=4)
        low, high = HITS.get(point, (20, 80))

        def armed(slot: int, life: int) -> dict[str, str]:
            if trial.deaths + _alive(trial) > kills + 1 or trial.deaths >= kills:
                return {}
            hit = random.Random(f"{trial.seed}-{point}-{slot}-{life}").randint(low, high)
            return {"DEEPTRACE_FAULTS__FAILPOINTS": f"{point}=kill@{hit}"}

        await trial.start_workers(armed)
        references = trial.pick(fast=400, full=2500, naive=600)
        await trial.publish(
            trial.mix(overlay_share=0.3 if point == "after_overlay" else 0.05),
            at_least=references,
            at_most=8 * references,
            rate=RATE,
            until=lambda: trial.deaths >= kills,
            most_behind=MOST_BEHIND,
        )
        trial.claim_recovery("a worker's death", RECOVERY_S)
        if not trial.is_naive:
            trial.owed.append(
                lambda: trial.claim(f"workers were killed {kills} times", trial.deaths >= kills, trial.deaths)
            )

    return Case(
        f"kill_{point}",
        f"kill -9 of a worker {dict(POINTS)[point]}",
        run,
        naive=point in NAIVE_POINTS,
        good_stay_good=True,
    )


def _alive(trial: Trial) -> int:
    return sum(slot.is_running for slot in trial.slots)


async def kill_all(trial: Trial) -> None:
    """Kill every worker at once, more than once; the supervisors start them again from nothing."""
    await trial.start_workers()
    rounds = trial.pick(fast=2, full=6, naive=2)
    references = trial.pick(fast=500, full=3000, naive=600)
    publishing = asyncio.create_task(trial.publish(at_least=references, rate=RATE))
    for _ in range(rounds):
        await trial.sleep(max(2.0, 0.6 * references / RATE / rounds))
        for slot in trial.slots:
            slot.send(signal.SIGKILL)
        await asyncio.sleep(0.1)
        await trial.until(lambda: all(slot.is_running for slot in trial.slots), 60, "the workers did not come back")
        if not trial.is_naive:
            await trial.ready()
    await publishing
    trial.claim_recovery("the workers' death", RECOVERY_S)


CASES = [
    *(kill_at(point) for point, _ in POINTS),
    Case("kill_all", "kill -9 of all workers at once, cold start", kill_all, naive=True),
]
