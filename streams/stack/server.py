import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import StackUnavailable
from streams.stack.process import ProcessRef, Spawned, spawn

_LOOK_AGAIN_S = 0.05
_START_TIMEOUT_S = 180.0  # seconds on an idle machine; a build beside it makes it minutes
_STOP_GRACE_S = 20.0


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """Everything needed to start a server, now and again: the same port, the same data."""

    name: str
    port: int
    command: list[str]
    work_dir: Path
    log: Path
    is_ready: Callable[[], bool]
    env: dict[str, str] = field(default_factory=dict)


class Server:
    """A server process on loopback that can be stopped, killed, paused and started again on its port and data.

    Bound servers end with this process, even when it is killed; others live on.
    """

    def __init__(self, spec: ServerSpec, *, bound: bool) -> None:
        self._spec = spec
        self._bound = bound
        self._spawned: Spawned | None = None

    @property
    def name(self) -> str:
        """Return what people call it: broker, s3proxy, minio."""
        return self._spec.name

    @property
    def address(self) -> str:
        """Return `host:port`."""
        return f"127.0.0.1:{self._spec.port}"

    @property
    def port(self) -> int:
        """Return its port on loopback; the same after a restart."""
        return self._spec.port

    @property
    def log(self) -> Path:
        """Return the file that holds what the server printed; the one of the run before has `.1` added."""
        return self._spec.log

    @property
    def process(self) -> ProcessRef:
        """Return the server's process; raises StackUnavailable when it was never started."""
        if self._spawned is None:
            raise StackUnavailable(f"The {self.name} is not running", remedy="Start it first.")
        return self._spawned.process

    @property
    def pid(self) -> int:
        """Return the server's own pid, not the one of its guardian."""
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Tell whether the process runs or is paused."""
        return self._spawned is not None and self._spawned.process.is_alive()

    def start(self) -> None:
        """Start the process; it is not ready yet when this returns."""
        log = self._spec.log
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            log.replace(log.with_name(f"{log.name}.1"))
        try:
            self._spawned = spawn(
                self._spec.command, work_dir=self._spec.work_dir, log=log, env=self._spec.env, bound=self._bound
            )
        except OSError as error:
            raise StackUnavailable(f"The {self.name} did not start", why=str(error)) from error

    def wait_ready(self, *, timeout_s: float = _START_TIMEOUT_S, cancelled: threading.Event | None = None) -> None:
        """Wait until the server answers in its own protocol.

        Raises StackUnavailable with the end of its log when it ends instead, or is not ready in time; it is stopped
        then, so nothing is left running.
        """
        deadline = time.monotonic() + timeout_s
        while not self._spec.is_ready():
            if not self.is_alive:
                self._give_up("the process ended")
            if cancelled is not None and cancelled.is_set():
                self._give_up("the start was called off")
            if time.monotonic() >= deadline:
                self._give_up(f"it was not ready after {timeout_s:.0f} s")
            time.sleep(_LOOK_AGAIN_S)

    def stop(self, *, grace_s: float = _STOP_GRACE_S) -> None:
        """Stop cleanly (SIGTERM), by force after `grace_s`; the process is gone when this returns."""
        if self._spawned is not None:
            self._spawned.process.stop(grace_s=grace_s)
            self._spawned.release()
            self._spawned = None

    def kill(self) -> None:
        """End the process at once (SIGKILL), as a crash would; it is gone when this returns."""
        self.process.send(signal.SIGKILL)
        self.process.wait_gone(_STOP_GRACE_S)
        self.stop()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): its port still accepts, but nothing answers."""
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self.process.send(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it if it still runs, start it on the same port and data, and wait until it is ready."""
        self.stop()
        self.start()
        self.wait_ready()

    def _give_up(self, reason: str) -> None:
        self.stop(grace_s=1.0)
        raise StackUnavailable(
            f"The {self.name} did not start",
            why=f"{reason}; its last words: {_last_lines(self.log)}",
            remedy=f"See {self.log}.",
        )


def _last_lines(log: Path, *, count: int = 5) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(lines[-count:]) or "none"
