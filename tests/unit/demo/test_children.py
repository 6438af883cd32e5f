import os
from pathlib import Path

import pytest

from schemas.errors import CheckFailed
from streams.demo.children import Child


def start(tmp_path: Path, *module: str) -> Child:
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return Child("clock", module, log=tmp_path / "clock.log", work_dir=tmp_path, environ=environ)


def test_a_child_that_ended_well_is_a_success(tmp_path: Path) -> None:
    """Its output is in the log."""
    child = start(tmp_path, "timeit", "-n", "1", "-r", "1", "pass")
    child._spawned.process.wait_gone(30)

    child.check_success()

    assert "loop" in child.log.read_text()


def test_a_child_that_ended_by_itself_is_missed(tmp_path: Path) -> None:
    """Even with exit code 0: a worker has to work until it is stopped."""
    child = start(tmp_path, "timeit", "-n", "1", "-r", "1", "pass")
    child._spawned.process.wait_gone(30)

    with pytest.raises(CheckFailed, match="ended by itself with exit code 0"):
        child.check_alive()


def test_the_last_words_of_a_child_that_failed_are_said(tmp_path: Path) -> None:
    """They say what is wrong more often than not."""
    child = start(tmp_path, "no_such_module")
    child._spawned.process.wait_gone(30)

    with pytest.raises(CheckFailed, match="No module named no_such_module"):
        child.check_success()


def test_a_stopped_child_is_gone(tmp_path: Path) -> None:
    """Stopping it again changes nothing."""
    child = start(tmp_path, "timeit", "while True: pass")

    child.stop()

    assert child.has_ended
    assert child.stop() == child.stop()
