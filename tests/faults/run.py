"""`make faults`: every fault of the matrix on a real broker, a real S3 server and real workers; `--report` writes what came of it.

Each case runs in a process of its own that is ended when its time is up; everything that it started ends with it. A case whose result of
the same version, seed and scale is there already is skipped, so an interrupted run goes on where it was.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.cases.registry import CASES
from faults.harness.case import Case
from faults.harness.child import run_child
from faults.harness.result import Result, place, read, version
from faults.report import write_report

END_S = 45.0
GRACE_S = 20.0


def main() -> int:
    """Run what was asked for; 0 when every case passed, 3 when one did not."""
    arguments = parsed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the case is ended too
    if arguments.child:
        return run_child(CASES[arguments.child], arguments)
    wanted = [CASES[name] for name in (arguments.cases.split(",") if arguments.cases else CASES)]
    code = 0
    if arguments.run:
        now = version()
        for number, case in enumerate(wanted, start=1):
            for design in ("deeptrace", "naive") if case.naive and arguments.naive else ("deeptrace",):
                result = _have(arguments, case, design, now) or _run(arguments, case, design, f"{number}/{len(wanted)}")
                _say(result)
                if design == "deeptrace" and not result.passed:
                    code = 3
    if arguments.report:
        write_report(arguments.results, arguments.report, list(CASES.values()))
        print(f"wrote {arguments.report}", flush=True)
    return code


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default="", help=f"comma-separated; all of: {', '.join(CASES)}")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--scale", choices=("fast", "full"), default="fast")
    parser.add_argument("--results", type=Path, default=Path(".deeptrace/faults"), help="one JSON file for each case")
    parser.add_argument("--again", action="store_true", help="run cases whose result is there already, too")
    parser.add_argument("--naive", action=argparse.BooleanOptionalAction, default=True, help="the naive design too")
    parser.add_argument("--report", type=Path, help="write docs/faults.md from all results")
    parser.add_argument("--run", action=argparse.BooleanOptionalAction, default=True, help="--no-run: report only")
    parser.add_argument("--keep", type=Path, help="keep the logs of failed cases in this folder")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--design", default="deeptrace", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(filter(None, arguments.cases.split(","))) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    return arguments


def _have(arguments: argparse.Namespace, case: Case, design: str, now: str) -> Result | None:
    found = None if arguments.again else read(place(arguments.results, case.name, design))
    same = found and (found.version, found.seed, found.scale) == (now, arguments.seed, arguments.scale)
    return found if same and found.error is None else None


def _run(arguments: argparse.Namespace, case: Case, design: str, number: str) -> Result:
    """Run one case in a process of its own, ended when its time is up; return its result, written by it or for it."""
    print(f"--- {number} {case.name} ({design}, {arguments.scale}, seed {arguments.seed}): {case.what}", flush=True)
    path = place(arguments.results, case.name, design)
    path.unlink(missing_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="deeptrace-faults-"))
    command = [sys.executable, __file__, "--child", case.name, "--design", design, "--folder", str(folder)]
    command += ["--seed", str(arguments.seed), "--scale", arguments.scale, "--results", str(arguments.results)]
    if case.private_mounts:  # its mounts end with it, whatever becomes of it
        command = [*(("unshare", "-m") if os.getuid() == 0 else ("unshare", "-Urm")), *command]
    began = time.monotonic()
    child = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(folder)})
    limit_s = case.limit_s(arguments.scale)
    try:
        child.wait(limit_s + END_S)
    except subprocess.TimeoutExpired:
        _end(child)
    except BaseException:
        _end(child)
        raise
    result = read(path)
    if result is None:
        how = f"ended with {child.returncode} and no result after {time.monotonic() - began:.0f} s"
        result = Result(case.name, design, case.what, arguments.scale, arguments.seed, version(), "", error=how)
        result.write(arguments.results)
    if not result.passed and arguments.keep:
        kept = arguments.keep / f"{case.name}.{design}"
        shutil.rmtree(kept, ignore_errors=True)
        for log in folder.rglob("*.log*"):
            target = kept / log.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, target)
    shutil.rmtree(folder, ignore_errors=True)
    return result


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a case: what it started is bound to it and ends with it."""
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        time.sleep(GRACE_S / 4)  # guardians look for their owner each second


def _say(result: Result) -> None:
    figures = result.figures
    state = "passed" if result.passed else "naive" if result.design == "naive" else "FAILED"
    shown = {name: figures.get(name) for name in ("references", "lost", "both", "not_identical", "repeats")}
    print(f"=== {result.case} ({result.design}) {state} in {result.took_s:.0f} s: {shown}", flush=True)
    if result.error:
        print(f"    error: {result.error}", flush=True)
    for claim in result.claims:
        if not claim.holds:
            print(f"    does not hold: {claim.claim} ({claim.measured})", flush=True)
    for note in result.notes:
        print(f"    {note}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
