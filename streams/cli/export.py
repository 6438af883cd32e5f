"""`deeptrace model export`: a release as a run and a registered model version of MLflow."""

from typing import Annotated

import typer

from streams.assembly import make_registry
from streams.cli.console import AsJson, out, print_json
from streams.cli.console import settings as read_settings
from streams.releases.mlflow_export import export_release
from streams.releases.name import ReleaseName


def export(
    release: Annotated[str, typer.Argument(metavar="[MODEL@]VERSION", help="The release to export.")],
    uri: Annotated[str, typer.Option("--mlflow", metavar="URI", help="Tracking server, sqlite:///FILE, or a folder.")],
    registered_model: Annotated[
        str | None, typer.Option(help="Name of the registered model; unset: the model's own.")
    ] = None,
    alias: Annotated[str, typer.Option(help="Alias that the new version gets.")] = "champion",
    experiment: Annotated[str, typer.Option(help="Experiment that the run is logged to.")] = "deeptrace-releases",
    as_json: AsJson = False,
) -> None:
    """Log a release with its report card to MLflow, and register it as a version. Needs the extra `train`."""
    name = ReleaseName.of(release)
    registry = make_registry(read_settings())
    try:
        done = export_release(
            registry, registry.resolve(name), uri, registered=registered_model, alias=alias, experiment=experiment
        )
    finally:
        registry.close()
    if as_json:
        print_json({"run_id": done.run_id, "model": done.model, "version": done.version, "alias": alias})
    else:
        out.print(f"run {done.run_id}; {done.model} version {done.version}, alias {alias}", highlight=False)
