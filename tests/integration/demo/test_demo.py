import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from streams.stack.process import ProcessRef

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT), "DEEPTRACE_MODEL__CLASSIFIER": "fake"}
COMMAND = [sys.executable, "-m", "streams.cli", "demo", "--count", "6", "--out", "report", "--json"]


def processes_in(folder: Path) -> list[ProcessRef]:
    """Return the processes that work in a folder: every one that a demo starts works in its own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                work_dir = (entry / "cwd").readlink()
            except OSError:  # it ended meanwhile, or is a zombie
                continue
            if work_dir.is_relative_to(folder / "report"):
                found.append(ProcessRef.of(int(entry.name)))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.slow
def test_a_demo_accounts_for_everything_and_leaves_nothing(tmp_path: Path) -> None:
    """Broker, store, both workers: each reference has one outcome, each overlay opens, no process and no data are left."""
    demo = subprocess.run(COMMAND, cwd=tmp_path, env=ENVIRON, capture_output=True, text=True, timeout=240, check=False)

    assert demo.returncode == 0, demo.stderr
    [line] = demo.stdout.splitlines()
    figures = json.loads(line)
    assert {name: figures[name] for name in ("published", "verdicts", "dead_letters", "overlays")} == {
        "published": 20,
        "verdicts": 6,
        "dead_letters": 14,
        "overlays": 6,
    }
    assert (figures["missing"], figures["duplicate_outcomes"], figures["problems"]) == (0, 0, [])
    assert figures["windows"] >= 1
    overlays = list((tmp_path / "report" / "overlays").iterdir())
    for overlay in overlays:
        with Image.open(overlay, formats=["WEBP"]) as picture:
            picture.load()
    assert all(overlay.name in Path(figures["report"]).read_text() for overlay in overlays)
    assert processes_in(tmp_path) == []
    assert not (tmp_path / "report" / "state").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.slow
def test_a_killed_demo_takes_everything_along(tmp_path: Path) -> None:
    """SIGKILL gives it no chance to stop anything itself."""
    with subprocess.Popen(COMMAND, cwd=tmp_path, env=ENVIRON, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        assert any("drift worker started" in line for line in demo.stderr)
        started = processes_in(tmp_path)
        demo.send_signal(signal.SIGKILL)

    assert len(started) >= 4  # broker, store, two workers, and their guardians
    assert all(process.wait_gone(20) for process in started)
    assert processes_in(tmp_path) == []
