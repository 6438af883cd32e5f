"""`deeptrace train`: from a manifest to an uncalibrated checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from training.cli.console import AsJson, err, out, print_json
from training.cli.knobs import ParamsFile, knobs

OUT = Path(".deeptrace/train")
Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--fresh", help="Go on with a training that was stopped in the output folder, or start anew."
    ),
]


def train(
    params: ParamsFile = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The labelled images; unset: `data.manifest` of the parameters.")
    ] = None,
    out_dir: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="For last.safetensors, train.json and the state of a stopped training."
        ),
    ] = OUT,
    start: Annotated[
        Path | None,
        typer.Option("--start", metavar="CHECKPOINT", help="Go on from these weights: same classes, same network."),
    ] = None,
    resume: Resume = True,
    as_json: AsJson = False,
) -> None:
    """Train the detector: audit the images for shortcuts, then the phases of the parameters. Calibrate it afterwards."""
    from training.corpus.build import on_cores
    from training.manifest import read_manifest
    from training.progress import progress_on
    from training.tracking import tracker_of
    from training.train import Surroundings
    from training.train import train as run

    wanted = knobs(params)
    listed = read_manifest(manifest or wanted.data.manifest)
    with progress_on(err) as shown, on_cores(wanted.train.processes) as ordered_map:
        around = Surroundings(
            ordered_map,
            shown.say,
            watch=shown,
            tracker=tracker_of(wanted.tracking, out_dir, shown.say),
            fresh=not resume,
        )
        trained = run(listed, wanted, out_dir, around, start=start)
    if as_json:
        print_json(trained.report)
        return
    out.print(f"{trained.path}  sha256 {trained.sha256}", markup=False, highlight=False, soft_wrap=True)
