"""The processes of the demo besides the stack. They end with the demo, however it ends: each has a guardian (streams.stack.guardian)."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.errors import CheckFailed
from streams.stack.process import Spawned, spawn

_STOP_GRACE_S = 25.0  # a little more than a worker's drain time
_LAST_LINES = 4  # what went wrong, why, what to do, the code


class Child:
    """A Python process of ours, started when this is made, its output in `log`."""

    def __init__(
        self, name: str, module: Sequence[str], *, log: Path, work_dir: Path, environ: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        self._spawned: Spawned = spawn(
            [sys.executable, "-P", "-m", *module], work_dir=work_dir, log=log, env=dict(environ), bound=True
        )
        self._exit_status: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._exit_status is not None or not self._spawned.process.is_alive()

    def stop(self) -> int:
        """Stop it cleanly, by force after a while; return its exit status. Gone when this returns; may be called twice."""
        if self._exit_status is None:
            self._spawned.process.stop(grace_s=_STOP_GRACE_S)
            self._spawned.release()
            assert self._spawned.guardian is not None, "children are bound"
            self._exit_status = self._spawned.guardian.returncode
        return self._exit_status

    def check_alive(self) -> None:
        """Raise CheckFailed with the process's last words when it has ended."""
        if self.has_ended:
            status = self.stop()
            raise CheckFailed(
                f"the {self.name} ended by itself with exit code {status}",
                why=self._last_words(),
                remedy=f"See {self.log}.",
            )

    def check_success(self) -> None:
        """Raise CheckFailed with the process's last words when it ended with anything but 0."""
        if (status := self.stop()) != 0:
            raise CheckFailed(
                f"the {self.name} failed with exit code {status}", why=self._last_words(), remedy=f"See {self.log}."
            )

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " | ".join(lines[-_LAST_LINES:]) or "it said nothing"
