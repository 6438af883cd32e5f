"""Stores that are down, slow, broken, and stores that lie."""

import asyncio

from faults.harness.case import Case
from faults.harness.http_proxy import HONEST, Conduct
from faults.harness.tcp_proxy import CLEAR, Line
from faults.harness.testbed import Plan
from faults.harness.trial import Trial

RATE = 100
IMPATIENT = {"DEEPTRACE_STORE__READ_TIMEOUT_S": "3", "DEEPTRACE_STORE__DEADLINE_S": "15"}


async def store_down(trial: Trial) -> None:
    """Kill the store, and start it again on its data after a minute. References wait; none becomes a dead letter."""
    await trial.start_workers()
    seconds = trial.pick(fast=10, full=60, naive=10)
    running = asyncio.create_task(trial.publish(at_least=5 * RATE, at_most=40_000, rate=RATE / 2, until=lambda: done))
    done = False
    await trial.sleep(4)
    await asyncio.to_thread(trial.bed.store_server.kill)
    trial.fault("store down")
    await trial.sleep(seconds)
    await asyncio.to_thread(trial.bed.store_server.restart)
    trial.healed("store down")
    await trial.moving(120)
    done = True
    await running
    no_dead_letters(trial)


async def slow_store(trial: Trial) -> None:
    """Half a second more for each answer, then a kilobyte a second, then answers that stop after their headers."""
    await trial.start_workers()
    seconds = trial.pick(fast=6, full=20, naive=8)
    running = asyncio.create_task(trial.publish(at_least=5 * RATE, at_most=40_000, rate=RATE / 2, until=lambda: done))
    done = False
    for name, line in (
        ("+500 ms", Line(latency_s=0.5)),
        ("1 KiB/s", Line(bytes_per_s=1024)),
        ("hang after headers", Line(hang_after_headers=True)),
    ):
        await trial.sleep(2)
        _lines(trial, line)
        trial.fault(name)
        await trial.sleep(seconds)
        _lines(trial, CLEAR)
        trial.healed(name)
        await trial.moving(90)
    done = True
    await running
    no_dead_letters(trial)


def _lines(trial: Trial, line: Line) -> None:
    for link in trial.bed.links:
        link.store.line = line


async def broken_store(trial: Trial) -> None:
    """A tenth of all requests is answered with 500, 503 or 429, half of those after the store has done what was asked."""
    await _with_lies(trial, Conduct(share=0.1, lies=("refuse", "refuse_late")))
    no_dead_letters(trial)


async def lying_store(trial: Trial) -> None:
    """A tenth of the images comes with a wrong byte, half its body, a broken connection, or another ETag. References name their hash."""
    await _with_lies(trial, Conduct(share=0.1, lies=("flip", "short", "cut", "etag"), path="/deeptrace-images/"))
    if not trial.is_naive:
        trial.owed.append(
            lambda: trial.claim(
                "the only dead letters are `object_changed`",
                set(trial.watch.codes()) <= {"object_changed"},
                dict(trial.watch.codes()),
            )
        )


async def _with_lies(trial: Trial, conduct: Conduct) -> None:
    liar = trial.bed.liar
    assert liar is not None
    await trial.start_workers()
    liar.conduct = conduct
    await trial.publish(at_least=trial.pick(fast=400, full=4000, naive=600), rate=RATE)
    await trial.behind_at_most(0, 120 if not trial.is_naive else 15)
    liar.conduct = HONEST
    trial.healed("lies")
    trial.faults.update(liar.told)


def no_dead_letters(trial: Trial) -> None:
    """Put down that nothing became a dead letter: an outage is nobody's fault."""
    if not trial.is_naive:
        trial.owed.append(lambda: trial.claim("no dead letters", not trial.watch.codes(), dict(trial.watch.codes())))


CASES = [
    Case("store_down", "kill -9 of the store, back after a minute (fast: 10 s)", store_down, naive=True),
    Case(
        "slow_store",
        "+500 ms an answer; 1 KiB/s; answers that stop after their headers",
        slow_store,
        plan=Plan(proxied=True, settings=IMPATIENT),
        naive=True,
    ),
    Case(
        "broken_store",
        "10 % of requests answered 500, 503 or 429, half of them after they were carried out",
        broken_store,
        plan=Plan(lying=True),
        naive=True,
    ),
    Case(
        "lying_store",
        "10 % of images with a wrong byte, half a body, a cut body or a wrong ETag",
        lying_store,
        plan=Plan(lying=True),
        good_stay_good=False,
        naive=True,
    ),
]
