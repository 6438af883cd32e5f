"""`deeptrace demo`: the whole service on this machine, from nothing to a page with every image beside its overlay."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import CheckFailed
from streams.cli.console import AsJson, err, out, print_error, print_json

EXIT_INTERRUPTED = 130


def demo(
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Use these pictures; simulated ones are made if unset.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="How many simulated images (64 if unset), or at most so many of DIR.")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the page, overlays and logs; replaced at each run.")
    ] = Path("demo-report"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data of broker and store, to look around in.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start broker, store and workers, send images through, show verdicts, overlays and drift, and stop everything.

    Exits with 3 when a reference has no outcome or more than one, or one that it must not have.
    """
    from streams.demo.run import DemoOptions, run_demo
    from streams.demo.screen import Screen
    from streams.demo.tables import print_tables

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of every retry; what fails for good is raised
    try:
        with Screen(err) as screen:
            result = run_demo(DemoOptions(folder, images, count, keep), screen)
    except KeyboardInterrupt:
        err.print("stopped; nothing is left running", highlight=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not as_json:
        print_tables(result, out)
        _say_where(folder, overlays=result.overlays, simulated=result.is_simulated, keep=keep)
    if result.problems:
        print_error(
            CheckFailed(f"{len(result.problems)} things are not as they must be", why="; ".join(result.problems[:5]))
        )
    if as_json:
        print_json(result.to_json())
    if result.problems:
        raise typer.Exit(CheckFailed.exit_code)


def _say_where(folder: Path, *, overlays: int, simulated: bool, keep: bool) -> None:
    out.print()
    if simulated:
        out.print(
            "The demo checkpoint was trained on simulated images: it says nothing about true generators.",
            style="yellow",
        )
    out.print(f"{overlays} overlays in {folder / 'overlays'}", highlight=False, soft_wrap=True)
    out.print(f"page: {folder / 'report.html'}", highlight=False, soft_wrap=True)
    if keep:
        state = folder.resolve() / "state"
        out.print(
            f"Data kept, until the next demo into {folder}. To look around:\n"
            f"  export DEEPTRACE_STATE_DIR={state}\n"
            "  deeptrace dev up\n"
            "  deeptrace watch --from-beginning\n"
            "  deeptrace dlq list\n"
            "  deeptrace dev down",
            highlight=False,
            soft_wrap=True,
        )
