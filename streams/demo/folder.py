"""The folder the demo writes: everything a run leaves behind is in it, and nothing of it is anywhere else."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UsageError
from streams.stack.local_stack import LocalStack

MARKER = ".deeptrace-demo"
_MARKER_TEXT = "Made by `deeptrace demo`, which replaces this folder's content at its next run.\n"


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Where a run puts what. `state` is the local stack's and goes away at the end unless it is kept."""

    root: Path

    @property
    def report(self) -> Path:
        """The page."""
        return self.root / "report.html"

    @property
    def pictures(self) -> Path:
        """Small copies of the images, for the page."""
        return self.root / "pictures"

    @property
    def overlays(self) -> Path:
        """The Grad-CAM overlays, as they came out of the store."""
        return self.root / "overlays"

    @property
    def logs(self) -> Path:
        """What each process said."""
        return self.root / "logs"

    @property
    def state(self) -> Path:
        """Data of the broker and the object store."""
        return self.root / "state"

    @property
    def samples(self) -> Path:
        """The images that are uploaded when the user brings none."""
        return self.state / "samples"

    @property
    def bad(self) -> Path:
        """The files that are bad on purpose."""
        return self.state / "bad"

    def prepare(self) -> None:
        """Make the folder, without what an earlier run left in it.

        Raises:
            UsageError: it holds something that no demo made, or a stack still runs from it.
        """
        root, marker = self.root, self.root / MARKER
        if root.exists() and (not root.is_dir() or (any(root.iterdir()) and not marker.exists())):
            raise UsageError(
                f"{root} is in use",
                why="it holds something that no demo made",
                remedy="Give --out a new or empty folder.",
            )
        if self.state.exists() and LocalStack(self.state).status() is not None:
            raise UsageError(
                f"a local stack runs from {self.state}",
                remedy=f"Wait for that demo, or stop it: DEEPTRACE_STATE_DIR={self.state} deeptrace dev down",
            )
        root.mkdir(parents=True, exist_ok=True)
        marker.write_text(_MARKER_TEXT, encoding="utf-8")
        self.report.unlink(missing_ok=True)
        for part in (self.pictures, self.overlays, self.logs, self.state):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()

    def keep_stack_logs(self) -> None:
        """Copy what broker and store said to the other logs: the state folder may go away."""
        for log in (self.state / "logs").glob("*.log"):
            shutil.copyfile(log, self.logs / log.name)

    def drop_state(self) -> None:
        """Delete the data of broker and store."""
        shutil.rmtree(self.state, ignore_errors=True)
