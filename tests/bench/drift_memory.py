"""Whether the drift worker's memory stays flat: `python tests/bench/drift_memory.py [--verdicts 1000000]`. No broker.

Observations go through the keeper, with the real judge and a table in memory, as fast as they can be made: twelve hours of
event time, three tenants, one image in fifty novel. What is printed is the resident memory of this process and what the table holds, at each
tenth of the way.
"""

import argparse
import asyncio
import base64
import json
import random
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.observed import CLASSES, seen

from schemas.observations import ObservationBatch
from streams.drift.candidates import CandidateRules
from streams.drift.episodes import EpisodeRules
from streams.drift.gathering import Gathering
from streams.drift.judge import WindowJudge
from streams.drift.keeper import Arrival, Change, TenantLimits, WindowKeeper
from streams.drift.metrics import DriftMetrics
from streams.drift.profiles import Profiles
from streams.drift.records import Closing
from streams.drift.reference import FixedReferences, Reference
from streams.drift.rows import Rows
from streams.drift.windows import WindowRules
from streams.settings import DriftSettings

TENANTS = ("acme", "globex", "initech")
START_S = 1_767_225_600
SPAN_S = 12 * 3600
BATCH = 1000


class MemoryTable:
    """A table that keeps what the last write of each key said, as Faust's does."""

    def __init__(self) -> None:
        self.data: dict[bytes, Change] = {}
        self.writes = 0

    def scan(self) -> Iterable[Change]:
        """Return everything."""
        return list(self.data.values())

    async def write(self, changes: Sequence[Change]) -> None:
        """Take the changes."""
        self.writes += len(changes)
        for change in changes:
            if change.value is None:
                self.data.pop(change.key, None)
            else:
                self.data[change.key] = change

    def figures(self) -> dict[str, int]:
        """Return how much it holds, and its largest record."""
        sizes = [len(change.value or b"") for change in self.data.values()]
        return {"records": len(sizes), "bytes": sum(sizes), "largest": max(sizes, default=0)}


def resident_mib() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * 4096 / 2**20, 1)


def batches(first: int, count: int, total: int, draw: random.Random) -> list[ObservationBatch]:
    """Return the observations of `count` images, in the order of their events but for a few seconds."""
    gathering = Gathering()
    for number in range(first, first + count):
        real = draw.random()
        gathering.add(
            seen(
                START_S + SPAN_S * number / total + draw.uniform(0, 5),
                outcome_id=f"outcome-{number}",
                tenant=TENANTS[number % len(TENANTS)],
                source="real" if real > 0.5 else CLASSES[1],
                probs=(real, 1 - real),
                confidence=max(real, 1 - real),
                embedding=base64.b64encode(draw.randbytes(32)).decode() if number % 50 == 0 else None,
            )
        )
    return list(gathering.batches())


async def run(total: int) -> dict[str, Any]:
    """Count so many images; return the figures."""
    drift = DriftSettings()
    table, published, now_s, offset = MemoryTable(), 0, float(START_S), 0

    async def publish(tenant: str, closing: Closing) -> None:  # the keeper's signature
        nonlocal published
        published += 1

    keeper = WindowKeeper(
        table,
        publish,
        rules=WindowRules.of(drift),
        limits=TenantLimits.of(drift),
        judge=WindowJudge(
            FixedReferences(Reference({"real": 0.5, "flux": 0.5})),
            Profiles({}),
            EpisodeRules.of(drift),
            pane="1m",
            clustered="1h",
            candidates=CandidateRules(),
        ),
        metrics=DriftMetrics(drift),
        clock=lambda: now_s,
    )
    draw, points, begun = random.Random(1), [], time.process_time()
    for first in range(0, total, BATCH):
        now_s = START_S + SPAN_S * (first + BATCH) / total + 5
        arrivals = []
        for batch in batches(first, min(BATCH, total - first), total, draw):
            rows = Rows.from_message(ObservationBatch.from_bytes(batch.to_bytes()))
            arrivals.append(Arrival(0, offset, round(now_s * 1000), batch.tenant, rows))
            offset += 1
        await keeper.apply(arrivals)
        await keeper.tick()
        if (first + BATCH) % (total // 10) < BATCH:
            points.append(
                {"verdicts": first + BATCH, "resident_mib": resident_mib(), "windows": published, **table.figures()}
            )
    return {
        "verdicts": total,
        "cpu_us_a_verdict": round(1e6 * (time.process_time() - begun) / total, 1),
        "verdicts_a_table_write": round(total / table.writes, 1),
        "growth_mib_after_the_first_fifth": round(points[-1]["resident_mib"] - points[1]["resident_mib"], 1),
        "points": points,
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verdicts", type=int, default=1_000_000)
    args = parser.parse_args()
    print(json.dumps(asyncio.run(run(args.verdicts)), indent=2))


if __name__ == "__main__":
    main()
