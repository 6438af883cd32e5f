"""How the commands of training speak: results on standard output, progress on standard error."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:  # numpy must not hold up `deeptrace --help`
    from training.corpus.build import Map

WIDE = 200  # columns where nobody looks: a pipe must not get wrapped text

out = Console(width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Item = TypeVar("Item")
Done = TypeVar("Done")


def print_json(value: Any) -> None:
    """Print one line of JSON on standard output."""
    out.file.write(json.dumps(value, default=str) + "\n")
    out.file.flush()


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err, disable=not err.is_terminal, transient=True)


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield what moves a progress bar on by one."""
    with _bar() as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def tracked(items: Iterable[Item], what: str, total: int | None) -> Iterator[Item]:
    """Yield the items under a progress bar, which is shown on a terminal only."""
    with _bar() as progress:
        yield from progress.track(items, total=total, description=what)


def watched(ordered_map: "Map", what: str) -> "Map":
    """Return the same map, whose results come under a progress bar."""

    def shown(function: Callable[[Item], Done], items: Iterable[Item], /) -> Iterator[Done]:
        return tracked(ordered_map(function, items), what, len(items) if isinstance(items, Sized) else None)

    return shown
