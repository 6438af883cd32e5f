"""Shows a training: bars on a terminal, one line an epoch elsewhere. Everything goes to standard error."""

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from training.watch import Epoch


class Lines:
    """One line an epoch, for logs."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left on the screen."""

    def epoch_begins(self, phase: str, number: int, of: int, steps: int, done: int) -> None:
        """Say where a stopped training goes on."""
        if done:
            self.say(f"going on in phase {phase}, epoch {number}/{of}, after {done} of {steps} steps")

    def step_ends(self, loss: float) -> None:
        """Say nothing: a log would drown."""

    def epoch_ends(self, epoch: Epoch) -> None:
        """Print the epoch's figures."""
        self.say(told(epoch))


class Bars(Lines):
    """A bar for the epoch above the finished epochs' lines."""

    def __init__(self, console: Console) -> None:
        super().__init__(plainly(console))
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Draw the bars."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take them away."""
        self._progress.stop()

    def epoch_begins(self, phase: str, number: int, of: int, steps: int, done: int) -> None:
        """Set up the epoch's bar."""
        super().epoch_begins(phase, number, of, steps, done)
        self._task = self._progress.add_task(f"{phase} {number}/{of}", total=steps, completed=done, loss="")

    def step_ends(self, loss: float) -> None:
        """Move the bar on."""
        if self._task is not None:
            self._progress.update(self._task, advance=1, loss=f"{loss:.3f}")

    def epoch_ends(self, epoch: Epoch) -> None:
        """Put a line in place of the bar."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        super().epoch_ends(epoch)


def progress_on(console: Console) -> Lines:
    """Return bars for a terminal and lines for anything else."""
    return Bars(console) if console.is_terminal else Lines(plainly(console))


def plainly(console: Console) -> Callable[[str], None]:
    """Return what prints a line on the console as it is, without markup and without wrapping."""
    return partial(console.print, markup=False, highlight=False, soft_wrap=True)


def told(epoch: Epoch) -> str:
    """Return the figures of an epoch in one line."""
    judged = ""
    if epoch.validation_loss is not None:
        judged = f"  validation loss {epoch.validation_loss:.3f}, accuracy {epoch.validation_accuracy:.3f}"
    return f"{epoch.phase} {epoch.number}/{epoch.of}  loss {epoch.loss:.3f}{judged}  {epoch.seconds:.0f} s"
