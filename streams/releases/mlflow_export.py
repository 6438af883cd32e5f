"""A release in MLflow: one run with the release's files, figures and facts, and a registered model version that points at it."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ConfigError, DependencyDown
from schemas.release import ReleaseManifest
from streams.releases.registry import MANIFEST, REPORT, REPORT_HTML, Registry

FOLDER = "release"


@dataclass(frozen=True, slots=True)
class Exported:
    """Where the release lies in MLflow."""

    run_id: str
    model: str
    version: str


def export_release(
    registry: Registry,
    release: ReleaseManifest,
    uri: str,
    *,
    registered: str | None = None,
    alias: str = "champion",
    experiment: str = "deeptrace-releases",
) -> Exported:
    """Log the release to the MLflow at `uri` and register it. Each call makes a new run and a new version there.

    Raises:
        ConfigError: MLflow is not installed, or refuses.
        ReleaseCorrupt, ReleaseMissing, StoreUnavailable: the release is not to be had.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when MLflow is imported: a release is nobody else's business
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ModuleNotFoundError as error:
        raise ConfigError(
            "MLflow is not installed",
            why=f"no module {error.name}",
            remedy="Install the extra: `pip install 'deeptrace[train]'`.",
        ) from error
    name = registered or release.name
    with tempfile.TemporaryDirectory(prefix="deeptrace-export-") as text:
        folder = Path(text)
        registry.fetch(release, folder)
        (folder / MANIFEST).write_bytes(release.to_bytes())
        for file, there in ((REPORT, release.report_sha256 is not None), (REPORT_HTML, release.has_html)):
            if there:
                (folder / file).write_bytes(registry.read(release, file))
        try:
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            found = client.get_experiment_by_name(experiment)
            experiment_id = client.create_experiment(experiment) if found is None else found.experiment_id
            run = client.create_run(experiment_id, run_name=f"{release.name}@{release.version}", tags=_facts(release))
            mlflow.set_tracking_uri(uri)  # artifacts of a client are found by the global one
            client.log_artifacts(run.info.run_id, str(folder), FOLDER)
            for figure, value in release.figures.items():
                client.log_metric(run.info.run_id, figure, value)
            client.set_terminated(run.info.run_id)
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            version = client.create_model_version(
                name,
                source=f"{run.info.artifact_uri}/{FOLDER}",
                run_id=run.info.run_id,
                tags=_facts(release),
                description=release.note or None,
            )
            client.set_registered_model_alias(name, alias, version.version)
        except MlflowException as error:
            raise ConfigError(
                f"MLflow at {uri} refuses the release",
                why=str(error.message),
                remedy="Check the URI (http://host:port, sqlite:///FILE), the names, and what the server's log says.",
            ) from error
        except OSError as error:
            raise DependencyDown(f"MLflow at {uri} cannot be written", why=str(error)) from error
    return Exported(run.info.run_id, name, str(version.version))


def _facts(release: ReleaseManifest) -> dict[str, str]:
    return {
        "deeptrace.release": f"{release.name}@{release.version}",
        "deeptrace.sha256": release.sha256,
        "deeptrace.kind": release.kind,
        "deeptrace.training_data": release.training_data,
        "deeptrace.preprocess_id": release.preprocess_id,
        "deeptrace.classes": ",".join(release.classes),
    }
