"""How far a replay is: a bar on a terminal, a line now and then elsewhere."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from streams.rescoring.estimate import duration

DRAW_S: Final = 0.5
SAY_S: Final = 10.0


def pace(done: int, total: int, seconds: float, *, waiting: str | None) -> str:
    """Say how fast it goes, `done` of `total` having taken `seconds`, and how long the rest will take.

    >>> pace(50, 150, 5, waiting=None)
    '10.0 images/s, 10 s left'
    """
    if waiting is not None:
        return f"waiting: {waiting}"
    if not done or seconds <= 0:
        return ""
    rate = done / seconds
    return f"{rate:.1f} images/s, {duration(max(0, total - done) / rate)} left"


class Screen:
    """Asks `how_far` (done before this run, done in it, total, what is waited for) again and again while it is shown."""

    def __init__(self, console: Console, how_far: Callable[[], tuple[int, int, int, str | None]]) -> None:
        self._console = console
        self._how_far = how_far
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bars.add_task("replay", total=None, pace="")
        self._began_at = time.monotonic()
        self._drawing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._bars.start()
        self._drawing = asyncio.create_task(self._keep_drawing())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._drawing is not None
        self._drawing.cancel()
        await asyncio.wait({self._drawing})
        self._draw()
        self._bars.stop()

    async def _keep_drawing(self) -> None:
        said_at = self._began_at
        while True:
            text = self._draw()
            if not self._console.is_terminal and time.monotonic() - said_at >= SAY_S:
                said_at = time.monotonic()
                self._console.print(text, highlight=False, markup=False, soft_wrap=True)
            await asyncio.sleep(DRAW_S)

    def _draw(self) -> str:
        before, done, total, waiting = self._how_far()
        text = pace(done, total - before, time.monotonic() - self._began_at, waiting=waiting)
        self._bars.update(self._task, completed=before + done, total=total, pace=text)
        return f"{before + done} of {total}  {text}"
