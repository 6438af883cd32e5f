"""The process of one case: builds, runs, concludes, and always writes a result unless it is killed."""

import argparse
import asyncio
import contextlib
import os
import signal
import time
import traceback
from datetime import UTC, datetime

from faults.harness.case import Case
from faults.harness.conclusion import conclude, settle
from faults.harness.process_table import machine
from faults.harness.result import Result, version
from faults.harness.trial import Trial

SAY_S = 3.0
SETTLE_S = {"fast": 120.0, "full": 240.0}


def run_child(case: Case, arguments: argparse.Namespace) -> int:
    """Run one case here; 0 when it passed."""
    result = Result(
        case.name,
        arguments.design,
        case.what,
        arguments.scale,
        arguments.seed,
        version(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
    )
    began = time.monotonic()
    try:
        asyncio.run(_run(case, arguments, result))
    except Exception as error:  # noqa: BLE001  # whatever happens in a case is its result
        result.error = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    result.took_s = round(time.monotonic() - began, 1)
    result.write(arguments.results)
    return 0 if result.passed else 3


async def _run(case: Case, arguments: argparse.Namespace, result: Result) -> None:
    trial = Trial(case, arguments.design, arguments.scale, arguments.seed, arguments.folder)
    telling = asyncio.create_task(_tell(trial))
    try:
        async with asyncio.timeout(case.limit_s(arguments.scale)):
            await trial.build()
            await case.run(trial)
            await settle(trial, SETTLE_S[arguments.scale])
            result.audit = await conclude(trial)
    except TimeoutError as error:
        result.error = f"not done in time: {error or case.limit_s(arguments.scale)}"
        with contextlib.suppress(Exception):
            await asyncio.wait_for(conclude(trial), 60)
    finally:
        telling.cancel()
        result.figures, result.claims, result.notes = trial.figures, trial.claims, trial.notes
        await trial.close()


async def _tell(trial: Trial) -> None:
    parent = os.getppid()
    while True:
        await asyncio.sleep(SAY_S)
        if os.getppid() != parent:  # it was killed: nobody would ever end us
            os.kill(os.getpid(), signal.SIGTERM)
        load = getattr(trial, "load", None)
        published = load.published if load else 0
        faults = " ".join(f"{name}={count}" for name, count in trial.faults.items())
        print(
            f"  {trial.case.name:<20} {time.monotonic() - trial.began:5.0f} s  published {published}  "
            f"behind {trial.clock.behind}  {faults}",
            flush=True,
        )
