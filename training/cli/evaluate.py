"""`deeptrace evaluate`: the report card of a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from training.cli.calibrate import OUT as CHECKPOINT
from training.cli.console import AsJson, err, out, print_json
from training.cli.knobs import ParamsFile, knobs

if TYPE_CHECKING:
    from training.evaluate import Evaluated

OUT = Path(".deeptrace/train/report")


def evaluate(
    checkpoint: Annotated[
        Path, typer.Option(metavar="FILE", help="The checkpoint to judge, calibrated or not.")
    ] = CHECKPOINT,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The labelled images; unset: `data.manifest` of the parameters.")
    ] = None,
    params: ParamsFile = None,
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="For report.json and report.html.")] = OUT,
    true_images: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="List of true images to judge in the end; overrides `evaluate.true_images`."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge every test split under every condition and write the report card, as JSON and as one HTML file."""
    from training.corpus.build import on_cores
    from training.evaluate import evaluate_checkpoint
    from training.manifest import read_manifest
    from training.report.html import write_report

    wanted = knobs(params)
    if true_images is not None:
        wanted = wanted.model_copy(update={"evaluate": wanted.evaluate.model_copy(update={"true_images": true_images})})
    listed = read_manifest(manifest or wanted.data.manifest)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with (
        Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as progress,
        on_cores(wanted.train.processes) as ordered_map,
    ):
        task = progress.add_task("judging", total=None)
        done = evaluate_checkpoint(
            checkpoint,
            listed,
            ordered_map,
            params=wanted,
            say=lambda text: err.print(text, markup=False, highlight=False, soft_wrap=True),
            advance=lambda count, total: progress.update(task, completed=count, total=total),
        )
    files = write_report(done.report, done.shown, out_dir)
    if as_json:
        print_json({"report": str(files[0]), "html": str(files[1]), "headline": done.report.headline})
        return
    out.print(_table(done))
    out.print(f"{files[1]}  of {done.report.checkpoint.sha256}", markup=False, highlight=False, soft_wrap=True)


def _table(done: "Evaluated") -> Table:
    table = Table("split", "condition", "n", "accuracy", "macro-F1", "AUROC", "ECE", box=None)
    for split, parts in done.report.sets.items():
        for condition, figures in parts.items():
            shown = figures.accuracy, figures.macro_f1, figures.auroc, figures.calibration.ece
            cells = ("-" if one.value is None else f"{one.value:.3f}" for one in shown)
            table.add_row(split, condition, str(figures.n), *cells)
    return table
