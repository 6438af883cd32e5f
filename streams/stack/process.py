import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SOURCE_ROOT = Path(__file__).parents[2]
_LOOK_AGAIN_S = 0.02
# Java takes options from its environment; whatever a user has there is not meant for these servers.
_KEPT_ENVIRONMENT = ("PATH", "HOME", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process, told from a later one with the same pid by when it started; usable from any process."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "ProcessRef":
        """Refer to the process that has this pid now."""
        return cls(pid, _look(pid)[1])

    def is_alive(self) -> bool:
        """Tell whether it runs (or is paused); a zombie is not alive."""
        state, started = _look(self.pid)
        return started == self.started and state not in {"", "Z", "X"}

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal, unless the process is gone."""
        if self.is_alive():
            try:
                os.kill(self.pid, signal_number)
            except ProcessLookupError:  # it went between the two calls
                return

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until it is gone; return whether it is."""
        deadline = time.monotonic() + timeout_s
        while self.is_alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_AGAIN_S)
        return True

    def stop(self, *, grace_s: float) -> None:
        """End it cleanly, by force after `grace_s`; it is gone when this returns. A paused process is ended too."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)
        if not self.wait_gone(grace_s):
            self.send(signal.SIGKILL)
            self.wait_gone(grace_s)


@dataclass(frozen=True, slots=True)
class Spawned:
    """A started process, and what ties it to us where it is bound: its guardian and our end of the lifeline."""

    process: ProcessRef
    guardian: "subprocess.Popen[bytes] | None"
    lifeline: int | None

    def release(self) -> None:
        """Let go once the process has ended; if it has not, its guardian ends it now."""
        if self.lifeline is not None:
            os.close(self.lifeline)
        if self.guardian is not None:
            self.guardian.wait()


def spawn(command: Sequence[str], *, work_dir: Path, log: Path, env: dict[str, str], bound: bool) -> Spawned:
    """Start a process in a session of its own, with its output appended to `log`.

    Bound: it ends when this process ends, even by SIGKILL. Not bound: it lives on until it is told to stop.
    Raises OSError when the command cannot be run.
    """
    lifeline, our_lifeline = os.pipe()
    report, their_report = os.pipe()
    guardian_command = [
        *(sys.executable, "-P", "-m", "streams.stack.guardian"),
        *(str(os.getpid() if bound else 0), str(lifeline), str(their_report)),
        *command,
    ]
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    with log.open("ab") as output:
        guardian = subprocess.Popen(
            guardian_command,
            cwd=work_dir,
            env={**kept, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(_SOURCE_ROOT), **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lifeline, their_report),
            start_new_session=True,
        )
    os.close(lifeline)
    os.close(their_report)
    with os.fdopen(report) as pipe:
        reported = pipe.read()
    if not reported:
        os.close(our_lifeline)
        raise OSError(f"{command[0]} could not be run (exit status {guardian.wait()}); see {log}")
    process = ProcessRef.of(int(reported))
    if bound:
        return Spawned(process, guardian, our_lifeline)
    os.close(our_lifeline)
    guardian.wait()
    return Spawned(process, None, None)


def _look(pid: int) -> tuple[str, str]:
    """Return (state letter, when it started) of a process; two empty strings when there is none."""
    if sys.platform == "linux":
        try:
            # The name in parentheses may hold anything, so the fields are counted from behind it.
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return "", ""
        return fields[0], fields[19]
    else:  # noqa: RET505  # mypy calls the rest unreachable otherwise
        ps = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
        answer = subprocess.run(ps, capture_output=True, text=True, check=False)
        state, _, started = answer.stdout.strip().partition(" ")
        return state[:1], started.strip()
