"""`deeptrace finetune`: go on from a checkpoint with a folder of one's own, perhaps with classes that it does not know."""

from pathlib import Path
from typing import Annotated

import typer

from training.cli.console import AsJson, err, out, print_json
from training.cli.knobs import ParamsFile, knobs
from training.cli.train import Resume


def finetune(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="One sub-folder a class, `real` among them; or a CSV with `file` and `class`."
        ),
    ],
    checkpoint: Annotated[Path, typer.Option(metavar="FILE", help="The checkpoint to go on from.")],
    out_dir: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="For manifest.csv, last.safetensors and train.json.")
    ] = Path(".deeptrace/finetune"),
    params: ParamsFile = None,
    resume: Resume = True,
    as_json: AsJson = False,
) -> None:
    """Learn further from a labelled folder. A folder with a new name becomes a new class; calibrate the result afterwards."""
    from training.corpus.build import on_cores
    from training.finetune import finetune as run
    from training.progress import progress_on
    from training.tracking import tracker_of
    from training.train import Surroundings

    wanted = knobs(params)
    with progress_on(err) as shown, on_cores(wanted.finetune.processes) as ordered_map:
        tracker = tracker_of(wanted.tracking, out_dir, shown.say)
        around = Surroundings(ordered_map, shown.say, watch=shown, tracker=tracker, fresh=not resume)
        trained = run(folder, checkpoint, wanted, out_dir, around)
    if as_json:
        print_json(trained.report)
        return
    classes = ", ".join(trained.report["classes"])
    out.print(
        f"{trained.path}  sha256 {trained.sha256}\nclasses {classes}", markup=False, highlight=False, soft_wrap=True
    )
