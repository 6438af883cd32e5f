"""Clocks that are wrong, and events that come an hour late or early."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer
from faults.harness.case import Case
from faults.harness.load import Item, reference
from faults.harness.skewed_clock import Clocks
from faults.harness.supervisor import Slot
from faults.harness.testbed import Plan
from faults.harness.trial import Trial

from schemas.topics import WINDOWS
from schemas.window import OVERALL, WindowSummary

RATE = 100
WINDOW_S = 60
WINDOW = {
    "DEEPTRACE_DRIFT__WINDOWS": f'["{WINDOW_S}s"]',
    "DEEPTRACE_DRIFT__ALLOWED_LATENESS_S": "30",
    "DEEPTRACE_DRIFT__IDLE_CLOSE_S": "8",
}
HOUR = timedelta(hours=1)
CLOSED_S = 90.0
Count = tuple[int, dict[str, int]]


async def clock_skew(trial: Trial) -> None:
    """Workers ten minutes, then two hours apart from the truth; events an hour late and early; windows are compared with a recount."""
    trial.watch.keep = True
    clocks = Clocks(trial.folder)
    if not clocks.can_skew:
        trial.notes.append("there is no C compiler here: event times were skewed, the workers' clocks were not")
    drift = _drift_worker(trial)
    await trial.start_workers(clocks.environment)
    clocks.set(0, 600)
    clocks.set(1, -600)
    trial.fault("clocks 10 min off")
    start = datetime.fromtimestamp((datetime.now(UTC) - 3 * HOUR).timestamp() // WINDOW_S * WINDOW_S, UTC)
    references = trial.pick(fast=500, full=2500)
    await trial.publish(_skewed(trial, start, references), at_least=references, rate=RATE)
    await trial.behind_at_most(0, 60)
    clocks.set(0, 7200)
    clocks.set(1, -7200)
    trial.fault("clocks 2 h off")
    more = references // 5
    await trial.publish(_steady(trial, start + 1.25 * HOUR, more, "far"), at_least=more, rate=RATE)
    await trial.sleep(trial.pick(fast=8, full=20))
    trial.figures["behind_with_clocks_2h_off"] = trial.clock.behind
    for slot in range(len(trial.slots)):
        clocks.set(slot, 0)
    trial.healed("clocks 2 h off")
    await trial.behind_at_most(0, 120)
    expected = _recount(trial)
    await _windows(trial, len(expected))
    late = 20
    await trial.publish(_steady(trial, start + timedelta(seconds=30), late, "late"), at_least=late, rate=RATE)
    await trial.behind_at_most(0, 60)
    await trial.publish(_steady(trial, start + 1.5 * HOUR, late, "last"), at_least=late, rate=RATE)
    await trial.behind_at_most(0, 60)
    summaries = await _windows(trial, len(expected) + 1)
    await asyncio.to_thread(drift.retire)
    expected |= _recount(trial, only="last")
    trial.figures["windows"] = len(summaries)
    said = {one.start: (one.images, one.counts | {"undecided": one.undecided}) for one in summaries}
    trial.claim("windows equal a recount of the verdicts", said == expected, f"{len(said)} of {len(expected)} windows")
    trial.claim("late events are counted exactly", sum(one.late for one in summaries) == late, late)


def _drift_worker(trial: Trial) -> Slot:
    slot = Slot(
        "drift-0",
        [sys.executable, "-m", "streams.cli", "drift-worker"],
        lambda _life: trial.bed.environment(None) | {"DEEPTRACE_KAFKA__INSTANCE_ID": "drift-0"},
        folder=trial.folder,
        log=trial.folder / "drift-0.log",
    )
    trial.others.append(slot)
    slot.start()
    return slot


def _skewed(trial: Trial, start: datetime, count: int) -> Iterator[Item]:
    """Yield references in random order: most within eight minutes, some an hour before and after, some in a future that nobody counts."""
    for n in range(count):
        at = start + timedelta(seconds=trial.draw.uniform(0, 480))
        share = trial.draw.random()
        if share < 0.1:
            at = start - HOUR + timedelta(seconds=trial.draw.uniform(0, 120))
        elif share < 0.2:
            at = start + HOUR + timedelta(seconds=trial.draw.uniform(0, 120))
        elif share < 0.22:
            at = start + 13 * HOUR
        yield _at(trial, f"s{n}", at)


def _steady(trial: Trial, at: datetime, count: int, name: str) -> Iterator[Item]:
    return (_at(trial, f"{name}{n}", at) for n in range(count))


def _at(trial: Trial, event_id: str, at: datetime) -> Item:
    return reference(event_id, trial.draw.choice(trial.pictures), event_time=at.isoformat())


def _recount(trial: Trial, only: str = "") -> dict[datetime, Count]:
    """Return images and counts by window, counted the plain way from the verdicts; the far future is not counted by anybody."""
    images: Counter[datetime] = Counter()
    counts: dict[datetime, Counter[str]] = {}
    for verdict in trial.watch.verdicts.values():
        at = datetime.fromisoformat(verdict["source"]["event_time"])
        if not verdict["event_id"].startswith(only) or at > datetime.now(UTC) + HOUR:
            continue
        start = datetime.fromtimestamp(at.timestamp() // WINDOW_S * WINDOW_S, UTC)
        images[start] += 1
        counts.setdefault(start, Counter())[verdict.get("predicted_source") or "undecided"] += 1
    return {
        start: (
            n,
            {name: c for name, c in counts[start].items() if name != "undecided"}
            | {"undecided": counts[start]["undecided"]},
        )
        for start, n in images.items()
    }


async def _windows(trial: Trial, wanted: int) -> list[WindowSummary]:
    """Return the summaries, each once, when so many are there; what is there after a while, if they are not."""
    found: dict[str, WindowSummary] = {}
    consumer = AIOKafkaConsumer(WINDOWS, bootstrap_servers=trial.bed.bootstrap, auto_offset_reset="earliest")
    async with consumer:
        ends_at = asyncio.get_running_loop().time() + CLOSED_S
        while len(found) < wanted and asyncio.get_running_loop().time() < ends_at:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    one = WindowSummary.from_bytes(record.value)
                    if one.tenant != OVERALL:
                        found[one.window_id] = one
    return list(found.values())


CASES = [
    Case(
        "clock_skew",
        "workers' clocks 10 min, then 2 h off in both directions; events 1 h late and 1 h early",
        clock_skew,
        plan=Plan(settings=WINDOW),
        fast_limit_s=300,
    )
]
