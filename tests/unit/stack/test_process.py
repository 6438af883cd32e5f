import os
import signal
from pathlib import Path

import pytest

from streams.stack.process import ProcessRef, spawn


def test_this_process_is_alive() -> None:
    """A running process is seen."""
    assert ProcessRef.of(os.getpid()).is_alive()


def test_a_reused_pid_is_another_process() -> None:
    """A process that started at another time is not the one on record, whatever its pid."""
    assert not ProcessRef(os.getpid(), "1").is_alive()


def test_a_signal_does_not_reach_a_reused_pid() -> None:
    """`down` after a reboot must not kill a stranger: here it would be this very process."""
    ProcessRef(os.getpid(), "1").stop(grace_s=1)
    assert ProcessRef.of(os.getpid()).is_alive()


@pytest.mark.parametrize("bound", [True, False])
def test_a_spawned_process_ends_on_stop_and_its_output_is_kept(tmp_path: Path, bound: bool) -> None:
    """Both kinds are started, write to their log and are gone after `stop`."""
    log = tmp_path / "log"
    script = "echo hello; exec sleep 600"
    spawned = spawn(["sh", "-c", script], work_dir=tmp_path, log=log, env={}, bound=bound)
    assert spawned.process.is_alive()
    while "hello" not in log.read_text():
        assert spawned.process.is_alive()
    spawned.process.stop(grace_s=5)
    spawned.release()
    assert not spawned.process.is_alive()


def test_a_process_that_ignores_the_polite_signal_is_ended_by_force(tmp_path: Path) -> None:
    """A server that hangs in its shutdown does not hang ours."""
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    spawned = spawn(["sh", "-c", script], work_dir=tmp_path, log=tmp_path / "log", env={}, bound=True)
    while "ready" not in (tmp_path / "log").read_text():
        assert spawned.process.is_alive()
    spawned.process.stop(grace_s=0.2)
    spawned.release()
    assert not spawned.process.is_alive()


def test_a_paused_process_can_be_stopped(tmp_path: Path) -> None:
    """A fault test that forgot to resume leaves nothing behind."""
    spawned = spawn(["sleep", "600"], work_dir=tmp_path, log=tmp_path / "log", env={}, bound=True)
    spawned.process.send(signal.SIGSTOP)
    spawned.process.stop(grace_s=5)
    spawned.release()
    assert not spawned.process.is_alive()


def test_letting_go_of_a_running_bound_process_ends_it(tmp_path: Path) -> None:
    """The lifeline alone is enough: the guardian sees it close and ends the process."""
    spawned = spawn(["sleep", "600"], work_dir=tmp_path, log=tmp_path / "log", env={}, bound=True)
    spawned.release()
    assert not spawned.process.is_alive()


def test_a_command_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    """The error names the command and the log that holds the reason."""
    with pytest.raises(OSError, match="no-such-command"):
        spawn(["no-such-command"], work_dir=tmp_path, log=tmp_path / "log", env={}, bound=True)


def test_java_options_of_the_user_do_not_reach_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAVA_TOOL_OPTIONS and the like would change a server's heap."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m")
    spawned = spawn(["env"], work_dir=tmp_path, log=tmp_path / "log", env={"OURS": "1"}, bound=True)
    spawned.process.wait_gone(5)
    spawned.release()
    printed = (tmp_path / "log").read_text()
    assert "OURS=1" in printed
    assert "JAVA_TOOL_OPTIONS" not in printed
