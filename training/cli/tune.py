"""`deeptrace tune`: search the knobs of training."""

from pathlib import Path
from typing import Annotated

import typer

from training.cli.console import AsJson, err, out, print_json
from training.cli.knobs import ParamsFile, knobs


def tune(
    params: ParamsFile = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The labelled images; unset: `data.manifest` of the parameters.")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Trials in total, those of earlier calls among them; unset: `tune.trials`."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search learning rates, weight decay, dropout, laundering and branch weight; prints the best as a fragment of params.yaml."""
    import yaml

    from training.corpus.build import on_cores
    from training.manifest import read_manifest
    from training.progress import plainly
    from training.train import Surroundings, examined
    from training.tune import fragment
    from training.tune import tune as search

    wanted = knobs(params)
    listed = read_manifest(manifest or wanted.data.manifest)
    say = plainly(err)
    with on_cores(wanted.train.processes) as ordered_map:
        around = Surroundings(ordered_map, say)
        data = examined(listed, listed.classes, wanted, wanted.train, around)
        study = search(data, wanted, ordered_map, trials=trials or wanted.tune.trials, say=say)
    best = fragment(study, wanted)
    if as_json:
        states = [trial.state.name.lower() for trial in study.trials]
        print_json(
            {"study": study.study_name, "trials": states, "best_validation_loss": study.best_value, "params": best}
        )
        return
    out.print(
        f"# best of {len(study.trials)} trials: validation loss {study.best_value:.4f}", markup=False, highlight=False
    )
    out.print(yaml.safe_dump(best, sort_keys=False).rstrip(), markup=False, highlight=False)
