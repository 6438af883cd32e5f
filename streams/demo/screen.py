"""What a person sees while the demo runs: one line a step with the seconds so far, and a bar under it for what takes time."""

import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn


class Screen:
    """Writes to a console; on anything but a terminal only the step lines appear. Any thread may call it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._mutex = threading.Lock()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    @property
    def seconds(self) -> float:
        """How long ago this screen was made."""
        return time.monotonic() - self._started

    def step(self, text: str) -> None:
        """Say that something is done."""
        self._console.print(f"[dim]{self.seconds:6.1f} s[/]  {text}", highlight=False, soft_wrap=True)

    def bar(self, name: str, done: int, total: int) -> None:
        """Show how far `name` is; the bar goes away when it is done. A local stack reports its progress here, too."""
        with self._mutex:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total)
            task = self._tasks[name]
            self._bars.update(task, completed=done, total=total)
            if done >= total:
                self._bars.remove_task(task)
                del self._tasks[name]

    def clear(self, name: str) -> None:
        """Take the bar `name` away."""
        with self._mutex:
            task = self._tasks.pop(name, None)
            if task is not None:
                self._bars.remove_task(task)
