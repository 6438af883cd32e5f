"""Do corrected windows tell the truth? `python tests/bench/drift_truth.py --report docs/drift.md [--scale 0.1] [--seed 7]`.

Streams with a known mix go through the windows of the drift worker; the page says how far their words are from it. Exits 3 where a promise of the
page does not hold. A few minutes on one core; `--scale` makes everything shorter, for a look.
"""

import argparse
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from drift_figures import (
    CALIBRATED,
    NEW_AI,
    PROFILE_IMAGES,
    RATE_A_MINUTE,
    USUAL_AI,
    by_size,
    cost_ms,
    slow_change,
    steady,
    step_delay,
    stream,
    void_share,
)
from drift_page import Findings, page
from drift_picture import picture
from support.simulated_answers import SimulatedModel

STREAMS = 5
MINUTES = (120, 60, 40)
DAYS = 4
SIZES = (300, 1_000, 2_000, 5_000)
WINDOWS = 600
UNKNOWN = (0.0, 0.02, 0.05, 0.1, 0.2)
SHARPNESS = (0.7, 0.85, 1.15, 1.3)


def main() -> int:
    """Simulate, write the page and its picture, and return 3 where a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    seed, started = arguments.seed, time.monotonic()

    def scaled(count: int, least: int) -> int:
        return max(least, round(count * arguments.scale))

    minutes = [scaled(count, 10) // 10 * 10 for count in MINUTES]
    days, windows = scaled(DAYS, 1), scaled(WINDOWS, 50)
    minutes_a_day = scaled(1440, 60)
    streams = [stream(seed + number, minutes) for number in range(STREAMS)]
    quiet = steady(seed + 100, days, minutes_a_day)
    found = Findings(
        head=[],
        sizes=[
            by_size(CALIBRATED, images, ai, windows, seed + images) for ai in (USUAL_AI, NEW_AI) for images in SIZES
        ],
        streams=streams,
        steady=quiet,
        unknown={
            (profile, images, share): void_share(
                seed, images=images, unknown=share, profile_images=profile, windows=scaled(100, 20)
            )
            for profile in (PROFILE_IMAGES // 10, PROFILE_IMAGES, 5 * PROFILE_IMAGES)
            for images in (1_000, 4_000)
            for share in UNKNOWN
        },
        off={
            name: [by_size(model, 1_000, ai, scaled(300, 40), seed, fitted=fitted) for ai in (USUAL_AI, NEW_AI)]
            for name, model, fitted in (
                ("fitted", SimulatedModel(sharpness=1.6), True),
                *((f"{sharpness:g}", SimulatedModel(sharpness=sharpness), False) for sharpness in SHARPNESS),
            )
        },
        steps=[step_delay(seed + number) for number in range(STREAMS)],
        slow=[slow_change(seed + number, quiet.confidences, scaled(720, 240)) for number in range(3)],
        cost=cost_ms(),
        verdicts=STREAMS * sum(minutes) * RATE_A_MINUTE,
    )
    found.head = [
        f"Date: {datetime.now(UTC).date()}. Seed: {seed}. CPU seconds: {time.process_time():.0f}, on one of {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}.",
        f"{STREAMS} streams of {sum(minutes)} windows of a minute with {RATE_A_MINUTE:,} images, each with its own calibration sample of {PROFILE_IMAGES} images a class and its own reference.",
        f"{days} steady days of {minutes_a_day:,} windows; {windows:,} windows for each line of the table of sizes.",
    ]
    arguments.report.parent.mkdir(parents=True, exist_ok=True)
    arguments.report.write_text(page(found))
    arguments.report.with_name("drift-stream.svg").write_text(
        picture(streams[0].minutes, ("2 % AI", "10 % AI", "and 10 % unknown"))
    )
    broken = found.broken()
    for promise in broken:
        print(f"does not hold: {promise}", file=sys.stderr)
    print(f"{arguments.report}: {found.verdicts:,} verdicts in the streams, {time.monotonic() - started:.0f} s")
    return 3 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
