"""`deeptrace calibrate`: temperatures and rules of abstention for a trained checkpoint."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from training.cli.console import AsJson, err, out, print_json
from training.cli.knobs import ParamsFile, knobs

IN = Path(".deeptrace/train/last.safetensors")
OUT = Path(".deeptrace/train/calibrated.safetensors")


def calibrate(
    checkpoint: Annotated[Path, typer.Option(metavar="FILE", help="The trained checkpoint.")] = IN,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The labelled images; unset: `data.manifest` of the parameters.")
    ] = None,
    params: ParamsFile = None,
    out_file: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The calibrated checkpoint: the same weights, other metadata.")
    ] = OUT,
    as_json: AsJson = False,
) -> None:
    """Fit temperatures, thresholds, open set, label sets and a profile of the answers on the split `calibration`, laundered as in production.

    Every class needs at least 20 calibration images; 40 or more make the thresholds worth something.
    """
    from training.calibrate import calibrate_checkpoint
    from training.corpus.build import on_cores
    from training.manifest import read_manifest

    wanted = knobs(params)
    listed = read_manifest(manifest or wanted.data.manifest)
    with on_cores(wanted.train.processes) as ordered_map:
        done = calibrate_checkpoint(
            checkpoint,
            listed,
            out_file,
            ordered_map,
            params=wanted.calibrate,
            say=lambda text: err.print(text, markup=False, highlight=False, soft_wrap=True),
        )
    abstention = done.abstention
    if as_json:
        print_json(
            {
                "checkpoint": str(done.path),
                "sha256": done.sha256,
                "temperatures": done.temperatures.model_dump(),
                "abstention": abstention.model_dump(),
                "profile": done.profile.to_json(),
                **done.facts,
            }
        )
        return
    rule, novelty, conformal = abstention.decision, abstention.novelty, abstention.conformal
    table = Table("fitted", "value", "asked", "images", box=None)
    for name, value in done.temperatures.model_dump().items():
        table.add_row(name if name == "real_logit_shift" else f"temperature, {name}", f"{value:.3f}", "", "")
    table.add_row(
        "AI from", f"{rule.ai_from:.4f}", f"{rule.false_positive_rate:.1%} false positives", f"{rule.reals} real"
    )
    table.add_row(
        "real up to",
        f"{rule.real_to:.4f}",
        f"{rule.false_negative_rate:.1%} false negatives",
        f"{rule.generated} generated",
    )
    if novelty:
        table.add_row(
            "novel over",
            f"{novelty.threshold:.3f}",
            f"{novelty.false_rejection_rate:.1%} rejected",
            str(novelty.images),
        )
    if conformal:
        table.add_row(
            "label from",
            f"{conformal.least_probability:.4f}",
            f"{conformal.coverage:.1%} hold it",
            str(conformal.images),
        )
    rejected = sum(sum(row[1::2]) for row in done.profile.cells.values())
    counted = sum(map(sum, done.profile.cells.values()))
    table.add_row("profile", f"{rejected / counted:.1%} novel", "cross-fitted", str(counted))
    out.print(table)
    out.print(f"{done.path}  sha256 {done.sha256}", markup=False, highlight=False, soft_wrap=True)
