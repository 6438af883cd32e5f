"""`deeptrace gate`: does a report card show what is asked? Exit 3 where it does not."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from training.cli.console import AsJson, out, print_json
from training.cli.knobs import ParamsFile, knobs

Limit = Annotated[float | None, typer.Option(min=0, max=1, show_default=False, help="Unset: as the parameters say.")]


def gate(
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="report.json, as `deeptrace evaluate` wrote it.")],
    params: ParamsFile = None,
    min_macro_f1: Limit = None,
    min_accuracy: Limit = None,
    min_auroc: Limit = None,
    min_tpr_at_fpr_1: Limit = None,
    max_ece: Limit = None,
    split: Annotated[str, typer.Option(help="The split whose figures count.")] = "test",
    condition: Annotated[str, typer.Option(help="The condition whose figures count.")] = "laundered",
    by: Annotated[
        Literal["value", "lower-bound"],
        typer.Option(help="What is compared: the figure, or the pessimistic end of its interval."),
    ] = "value",
    as_json: AsJson = False,
) -> None:
    """Hold a report card against the least that is asked, for the build of a repository that ships checkpoints."""
    from training.gate import gate_report, require_met
    from training.params import GateParams
    from training.report.schema import read_report

    given = {
        "min_macro_f1": min_macro_f1,
        "min_accuracy": min_accuracy,
        "min_auroc": min_auroc,
        "min_tpr_at_fpr_1": min_tpr_at_fpr_1,
        "max_ece": max_ece,
    }
    asked = knobs(params).gate.model_dump() | {name: value for name, value in given.items() if value is not None}
    held = gate_report(read_report(report), GateParams(**asked), split=split, condition=condition, by=by)
    if as_json:
        print_json([asdict(one) for one in held])
    else:
        table = Table("figure", "asked", "found", "interval (95 %, by units)", "", box=None)
        for one in held:
            sign = "at most" if one.figure == "ece" else "at least"
            found = "undefined" if one.found is None else f"{one.found:.4f}"
            interval = "" if one.interval is None else f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"
            table.add_row(
                one.figure, f"{sign} {one.asked:g}", found, interval, "met" if one.met else "[bold red]short[/]"
            )
        out.print(table)
    require_met(held, split=split, condition=condition)
