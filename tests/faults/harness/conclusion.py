"""The end of a trial: wait for what is owed, stop the workers, count, and let `deeptrace audit` count on its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

from aiokafka import AIOKafkaConsumer, TopicPartition
from faults.harness.trial import Trial

from schemas.topics import IMAGES

QUIET_S = 10.0
LINGER_S = 1.5
AUDIT_S = 600.0
SHOWN = 5
RESTARTS_OF_NAIVE = 2
MIB_A_S = 3600.0
WARM_UP_SHARE = 0.2
NOT_THERE = 2
NAIVE_GROUP = "naive"


async def settle(trial: Trial, timeout_s: float) -> None:
    """Wait until every accepted reference has its outcome. The naive design may fall silent: it is restarted then, as an operator would."""
    if not trial.is_naive:
        ends_at = time.monotonic() + timeout_s
        while trial.clock.behind and time.monotonic() < ends_at:
            await asyncio.sleep(0.1)
        await asyncio.sleep(LINGER_S)  # repeats that are on their way
        return
    for restart in range(RESTARTS_OF_NAIVE + 1):
        await _quiet(trial, timeout_s)
        if not trial.clock.behind:
            return
        if restart < RESTARTS_OF_NAIVE:
            trial.notes.append(f"silent with {trial.clock.behind} references unanswered; restarted")
            for slot in trial.slots:
                slot.send(signal.SIGKILL)


async def _quiet(trial: Trial, timeout_s: float) -> None:
    """Return once no reference has got its first answer for a while, or nothing is owed."""
    ends_at, behind, changed = time.monotonic() + timeout_s, -1, time.monotonic()
    while trial.clock.behind and time.monotonic() < ends_at and time.monotonic() - changed < QUIET_S:
        if trial.clock.behind != behind:
            behind, changed = trial.clock.behind, time.monotonic()
        await asyncio.sleep(0.2)


async def conclude(trial: Trial) -> dict[str, object] | None:
    """Stop the workers, put the figures and the claims of every case into the trial, and return what the audit said."""
    await asyncio.gather(*(asyncio.to_thread(slot.retire) for slot in trial.slots))
    await trial.watch.caught_up()
    _count(trial)
    if trial.is_naive:
        trial.figures["committed_past"] = await _committed_past(trial)
        return None
    audit = await asyncio.to_thread(run_audit, trial) if trial.case.audited else None
    for claim in trial.owed:
        claim()
    _claims(trial, audit)
    return audit


async def _committed_past(trial: Trial) -> int:
    """Return how many references without an answer the naive group will never look at again."""
    async with AIOKafkaConsumer(
        bootstrap_servers=trial.bed.bootstrap, group_id=NAIVE_GROUP, enable_auto_commit=False
    ) as consumer:
        partitions = [TopicPartition(IMAGES, n) for n in range(trial.bed.plan.partitions)]
        committed = {one.partition: await consumer.committed(one) or 0 for one in partitions}
    unanswered = [trial.places[name] for name in trial.expected if name not in trial.watch.seen]
    return sum(offset < committed[partition] for partition, offset in unanswered)


def _count(trial: Trial) -> None:
    watch, clock = trial.watch, trial.clock
    lost = [name for name in trial.expected if name not in watch.seen]
    wrong = [
        name
        for name, item in trial.expected.items()
        if (seen := watch.seen.get(name)) and item.picture and name not in trial.several
        if seen.sha256 not in {None, item.picture.sha256}
    ]
    good_dead = [
        seen.code
        for name, item in trial.expected.items()
        if item.kind == "good" and (seen := watch.seen.get(name)) and "dead letter" in seen.kinds
    ]
    kinds = {kind: sum(kind in seen.kinds for seen in watch.seen.values()) for kind in ("verdict", "dead letter")}
    firsts = [one.all_partitions_s for one in clock.recoveries if one.all_partitions_s is not None]
    trial.figures = {
        "references": len(trial.expected),
        "published": trial.load.published,
        "resent": trial.load.resent,
        "verdicts": kinds["verdict"],
        "dead_letters": kinds["dead letter"],
        "dead_letter_codes": dict(sorted(watch.codes().items())),
        "lost": len(lost),
        "lost_good": sum(trial.expected[name].kind == "good" for name in lost),
        "both": len(watch.both),
        "not_identical": len(watch.not_identical),
        "repeats": watch.repeats,
        "wrong_verdicts": len(wrong),
        "good_dead_letter_codes": dict(Counter(good_dead)),
        "faults": dict(trial.faults),
        "recoveries": [one.to_json() for one in clock.recoveries],
        "recovery_p50_s": _quantile(firsts, 0.5),
        "recovery_max_s": max(firsts, default=None),
        "silence_s": round(clock.silence_s, 2),
        "behind_max": clock.behind_max,
        "rss_max_mib": {
            slot.name: round(max((one.rss_max_mib for one in slot.lives), default=0)) for slot in trial.slots
        },
        "exit_codes": {slot.name: [life.exit_code for life in slot.lives] for slot in trial.slots},
        "settled_by_another": sum(slot.counted('deeptrace_settlements_total{result="stored"}') for slot in trial.slots),
        **trial.figures,
    }
    if lost:
        trial.notes.append(f"lost, for example: {', '.join(sorted(lost)[:SHOWN])}")
    if watch.both:
        trial.notes.append(f"both, for example: {', '.join(watch.both[:SHOWN])}")
    if watch.not_identical:
        trial.notes.append(f"not identical, for example: {', '.join(watch.not_identical[:SHOWN])}")


def _claims(trial: Trial, audit: dict[str, object] | None) -> None:
    figures = trial.figures
    for name, claim in (
        ("lost", "every accepted reference has an outcome"),
        ("both", "none has a verdict and a dead letter"),
        ("not_identical", "repeats are byte-identical"),
        ("wrong_verdicts", "no verdict is about other bytes than the reference named"),
    ):
        trial.claim(claim, figures[name] == 0, f"{figures[name]} of {figures['references']}")
    if trial.case.good_stay_good:
        _good_stay_good(trial)
    last = {slot.name: slot.lives[-1].exit_code for slot in trial.slots if slot.lives}
    trial.claim("workers told to stop end with 0", all(code == 0 for code in last.values()), last)
    if audit is not None:
        trial.claim("`deeptrace audit` finds nothing wrong", audit.get("exit_code") == 0, audit.get("counts", ""))


def _good_stay_good(trial: Trial) -> None:
    """A worker that dies a third time while a reference is judged alone suspects it: by its rule, and one for each death at most."""
    codes = trial.figures["good_dead_letter_codes"]
    assert isinstance(codes, dict)
    suspects = codes.get("crash_suspect", 0)
    if not trial.deaths:
        trial.claim("no good reference is a dead letter", not codes, codes)
        return
    trial.claim(
        "no good reference is a dead letter, but for at most one `crash_suspect` a death",
        set(codes) <= {"crash_suspect"} and suspects <= trial.deaths,
        f"{codes or 'none'}, {trial.deaths} deaths",
    )
    if suspects:
        trial.notes.append(f"{suspects} good references were `crash_suspect`: alone in flight when a worker was killed")


def run_audit(trial: Trial) -> dict[str, object] | None:
    """Return what `deeptrace audit --json --complete` says, with its exit code; None while there is no such command."""
    environment = {**os.environ, **trial.bed.environment(None)}
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", "audit", "--json", "--complete"],
        env=environment,
        cwd=trial.folder,
        capture_output=True,
        text=True,
        timeout=AUDIT_S,
        check=False,
    )
    if done.returncode == NOT_THERE and "No such command" in done.stderr:
        trial.notes.append("`deeptrace audit` is not there yet")
        return None
    said: dict[str, object] = {}
    try:
        said = dict(json.loads(done.stdout))
    except ValueError:
        trial.notes.append(f"audit said no JSON: {done.stdout[-300:]} {done.stderr[-300:]}")
    return said | {"exit_code": done.returncode}


def slope_mib_per_h(samples: list[tuple[float, float]]) -> float | None:
    """Return the slope of (seconds, MiB) by least squares, without the first fifth, in which a process warms up."""
    samples = samples[int(len(samples) * WARM_UP_SHARE) :]
    if len(samples) < 10:
        return None
    mean_t, mean_m = (sum(column) / len(samples) for column in zip(*samples, strict=True))
    variance = sum((t - mean_t) ** 2 for t, _ in samples)
    return MIB_A_S * sum((t - mean_t) * (m - mean_m) for t, m in samples) / variance if variance else None


def _quantile(values: list[float], q: float) -> float | None:
    return round(sorted(values)[int(q * (len(values) - 1))], 3) if values else None
