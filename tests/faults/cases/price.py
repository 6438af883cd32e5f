"""What settling costs: the same references through the same worker with and without it, in one run."""

import asyncio
import re
import signal
import time
from collections import defaultdict
from dataclasses import dataclass, field

from faults.harness.case import Case
from faults.harness.testbed import Plan
from faults.harness.trial import Trial

LOOKED_UP = 1200  # of four partitions, 128 in a row that were new end it
MODES = ("settled", "at_least_once", "at_least_once", "settled")
QUIET_RATE = 20
BUCKET_LINE = re.compile(r'deeptrace_stage_duration_seconds_bucket\{le="([^"]+)",stage="settle"\} (\S+)')


@dataclass(slots=True)
class Price:
    """What was measured in one mode, over its rounds."""

    per_s: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    requests: float = 0.0


async def settle_price(trial: Trial) -> None:
    """Run the modes in the order A B B A: throughput of a backlog, latency at a quiet rate, then requests counted by a proxy."""
    settings: dict[str, str] = {}
    prices: dict[str, Price] = defaultdict(Price)
    backlog, quiet = trial.pick(fast=300, full=2000), trial.pick(fast=60, full=200)
    settings |= {"DEEPTRACE_PIPELINE__OUTCOMES": MODES[0], "DEEPTRACE_STORE__ENDPOINT": trial.bed.store_server.address}
    await trial.start_workers(lambda _slot, _life: settings)
    for round_, mode in enumerate(MODES):
        await _restart(trial, settings, mode, trial.bed.store_server.address)
        price = prices[mode]
        warm = trial.mix(seed=1000 + round_)
        await trial.publish(warm, at_least=64, rate=200)
        await trial.behind_at_most(0, 60)
        began = time.monotonic()
        await trial.publish(trial.mix(seed=2000 + round_), at_least=backlog, rate=5000)
        await trial.behind_at_most(0, 240)
        price.per_s.append(backlog / (time.monotonic() - began))
        before = set(trial.expected)
        await trial.publish(trial.mix(seed=3000 + round_), at_least=quiet, rate=QUIET_RATE)
        await trial.behind_at_most(0, 60)
        price.latencies_ms += [1000 * trial.clock.latency(name) for name in trial.expected.keys() - before]
        if mode == "settled":
            buckets = {le: float(count) for le, count in BUCKET_LINE.findall(trial.slots[0].metrics())}
            trial.figures["settle_stage_ms"] = {q: bucket_quantile(buckets, q) for q in ("0.5", "0.99")}
    liar = trial.bed.liar
    assert liar is not None
    for round_, mode in enumerate(MODES[:2]):
        await _restart(trial, settings, mode, liar.address)
        # The first deliveries of each partition are looked up before they are judged; what is counted is what comes after them.
        await trial.publish(trial.mix(seed=3500 + round_, overlay_share=0.0), at_least=LOOKED_UP, rate=400)
        await trial.behind_at_most(0, 60)
        before = sum(liar.requests.values())
        await trial.publish(trial.mix(seed=4000 + round_, overlay_share=0.0), at_least=quiet, rate=100)
        await trial.behind_at_most(0, 60)
        await asyncio.sleep(0.5)
        prices[mode].requests = (sum(liar.requests.values()) - before) / quiet
    _figures(trial, prices)


async def _restart(trial: Trial, settings: dict[str, str], mode: str, endpoint: str) -> None:
    """Let the one worker start anew in this mode."""
    [slot] = trial.slots
    settings |= {"DEEPTRACE_PIPELINE__OUTCOMES": mode, "DEEPTRACE_STORE__ENDPOINT": endpoint}
    lives = len(slot.lives)
    slot.send(signal.SIGTERM)
    await trial.until(lambda: len(slot.lives) > lives, 90, "the worker did not end")
    await trial.ready()


def _figures(trial: Trial, prices: dict[str, Price]) -> None:
    price: dict[str, object] = {}
    for mode, one in prices.items():
        ordered = sorted(one.latencies_ms)
        price[mode] = {
            "references_per_s": [round(rate, 1) for rate in one.per_s],
            "latency_p50_ms": round(ordered[len(ordered) // 2], 1),
            "latency_p99_ms": round(ordered[int(0.99 * (len(ordered) - 1))], 1),
            "requests_an_image": round(one.requests, 2),
        }
    settled, plain = (sum(prices[mode].per_s) for mode in ("settled", "at_least_once"))
    trial.figures["settle_price"] = price
    trial.figures["throughput_share"] = round(settled / plain, 3)


def bucket_quantile(buckets: dict[str, float], quantile: str) -> float | None:
    """Return a quantile in ms from cumulative buckets, in a straight line within its bucket."""
    total = buckets.get("+Inf", 0.0)
    wanted, low, below = float(quantile) * total, 0.0, 0.0
    for le, count in buckets.items():
        if le == "+Inf":
            return None
        if count >= wanted and count > below:
            return round(1000 * (low + (float(le) - low) * (wanted - below) / (count - below)), 1)
        low, below = float(le), count
    return None


CASES = [
    Case(
        "settle_price",
        "the price of settling: the same references with outcomes=settled and outcomes=at_least_once, in turn",
        settle_price,
        plan=Plan(lying=True),
        workers=1,
        audited=False,
        full_limit_s=600,
    )
]
