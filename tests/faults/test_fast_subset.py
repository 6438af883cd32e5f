"""A few faults of the matrix at small scale, as `make faults` runs them; `docs/faults.md` has all of them, and their figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

RUN = Path(__file__).with_name("run.py")
SUBSET = (
    "kill_after_judge",
    "kill_after_settle",
    "zombie",
    "broker_restart",
    "store_down",
    "poison",
    "hostile_images",
    "duplicates",
)


@pytest.mark.parametrize("case", SUBSET)
def test_nothing_is_lost_or_decided_twice(case, tmp_path):
    """Every accepted reference has one outcome, repeats are identical, and what the case claims beyond that holds."""
    command = [sys.executable, str(RUN), "--cases", case, "--scale", "fast", "--no-naive", "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=290)
    result = json.loads((tmp_path / f"{case}.json").read_text())
    assert result["error"] is None, done.stdout[-3000:] + done.stderr[-3000:]
    figures = result["figures"]
    assert figures["references"] > 0
    assert (figures["lost"], figures["both"], figures["not_identical"], figures["wrong_verdicts"]) == (0, 0, 0, 0)
    assert [claim for claim in result["claims"] if not claim["holds"]] == []
    assert result["audit"]["ok"], result["audit"]
