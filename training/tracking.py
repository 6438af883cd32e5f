"""A record of every training in MLflow: parameters, figures of each epoch, the checkpoint, and a version in its registry.

Tracking never ends a training. Whatever MLflow raises is said once as a warning, and the record of this training ends there.
"""

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from training.params import TrackingParams
from training.train import STATE, NoTracker, Say, Tracker
from training.watch import Epoch

_NOTE: Final = "tracking.json"  # beside the state: the run that a resumed training goes on with
_SERVER: Final = "MLFLOW_TRACKING_URI"
_LONGEST_PARAM: Final = 500
_LONGEST_REASON: Final = 300
# A server that is down would otherwise hold a training up for minutes at every call.
_PATIENCE: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


def tracker_of(params: TrackingParams, out: Path, say: Say) -> Tracker:
    """Return MLflow's record of a training in `out`, or none where it is switched off (`uri: null`) or not installed."""
    if params.uri is None:
        return NoTracker()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when MLflow is imported
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        with _quietly():
            import mlflow
    except ImportError:
        say("no MLflow, so this training is not tracked; `pip install mlflow` or `tracking: {uri: null}`")
        return NoTracker()
    del mlflow
    return MlflowTracker(params, out, say)


class MlflowTracker:
    """One MLflow run a training; a resumed training goes on with the run it began."""

    def __init__(self, params: TrackingParams, out: Path, say: Say) -> None:
        self._params, self._note, self._state, self._say = params, out / _NOTE, out / STATE, say
        self._uri = os.environ.get(_SERVER) or str(params.uri)
        self._client: Any = None
        self._run_id = ""

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Open the run and note the parameters and the data's hash."""
        self._attempt(lambda: self._begin(facts))

    def epoch(self, epoch: Epoch) -> None:
        """Note the figures of an epoch under the number of epochs so far."""
        self._attempt(lambda: self._epoch(epoch))

    def end(self, checkpoint: Path, report: Mapping[str, Any]) -> None:
        """Keep checkpoint and report, register a version, and close the run."""
        self._attempt(lambda: self._end(checkpoint, report))

    def _begin(self, facts: Mapping[str, Any]) -> None:
        from mlflow import MlflowClient

        _make_folder(self._uri)
        client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        self._run_id = self._known_run(client, str(facts["fingerprint"])) or self._new_run(client, facts)
        self._note.parent.mkdir(parents=True, exist_ok=True)
        self._note.write_text(json.dumps({"run_id": self._run_id, "fingerprint": facts["fingerprint"]}) + "\n")
        self._client = client

    def _known_run(self, client: Any, fingerprint: str) -> str:
        """Return the unfinished run of this very training, or an empty text where it begins anew."""
        if not self._state.exists():
            return ""
        try:
            noted = json.loads(self._note.read_text())
            run = client.get_run(noted["run_id"])
        except Exception:  # noqa: BLE001 - no note, no such run, another store: all mean a new run
            return ""
        return str(run.info.run_id) if noted["fingerprint"] == fingerprint and run.info.status == "RUNNING" else ""

    def _new_run(self, client: Any, facts: Mapping[str, Any]) -> str:
        experiment = client.get_experiment_by_name(self._params.experiment)
        if experiment is None:
            number = client.create_experiment(self._params.experiment, artifact_location=_artifacts(self._uri))
        else:
            number = experiment.experiment_id
        run_id = str(client.create_run(number, run_name=str(facts["fingerprint"])[:12]).info.run_id)
        for name, value in _flat(facts["params"]):
            client.log_param(run_id, name, value[:_LONGEST_PARAM])
        for name in ("fingerprint", "data_sha256", "begun_from"):
            client.set_tag(run_id, name, facts[name])
        for name, count in facts["images"].items():
            client.log_param(run_id, f"images.{name}", count)
        return run_id

    def _epoch(self, epoch: Epoch) -> None:
        figures = {
            "loss": epoch.loss,
            "learning_rate": epoch.learning_rate,
            "validation_loss": epoch.validation_loss,
            "validation_accuracy": epoch.validation_accuracy,
        }
        for name, value in figures.items():
            if value is not None:
                self._client.log_metric(self._run_id, name, value, step=epoch.index)

    def _end(self, checkpoint: Path, report: Mapping[str, Any]) -> None:
        noted = {metric.step for metric in self._client.get_metric_history(self._run_id, "loss")}
        for epoch in report["epochs"]:
            if epoch["index"] not in noted:  # the training was killed between the end of it and its note here
                self._epoch(Epoch(**epoch))
        self._client.log_metric(self._run_id, "seconds", report["seconds"])
        self._client.log_artifact(self._run_id, str(checkpoint), "checkpoint")
        self._client.log_dict(self._run_id, dict(report), "train.json")
        if self._params.registered_model:
            self._register(self._params.registered_model, checkpoint, report)
        self._client.set_terminated(self._run_id)
        self._note.unlink(missing_ok=True)

    def _register(self, name: str, checkpoint: Path, report: Mapping[str, Any]) -> None:
        from mlflow.exceptions import MlflowException

        with contextlib.suppress(MlflowException):  # it is there already
            self._client.create_registered_model(name)
        run = self._client.get_run(self._run_id)
        self._client.create_model_version(
            name,
            source=f"{run.info.artifact_uri}/checkpoint/{checkpoint.name}",
            run_id=self._run_id,
            tags={
                "sha256": report["checkpoint"]["sha256"],
                "classes": ",".join(report["classes"]),
                "preprocess_id": report["params"]["model"]["preprocess_id"],
                "kind": report["kind"],
                "version": report["version"],
            },
        )

    def _attempt(self, act: Callable[[], None]) -> None:
        if self._client is None and self._run_id:
            return  # it failed before
        try:
            with _quietly():
                act()
        except Exception as error:  # noqa: BLE001 - whatever a store or a server does, the training goes on
            reason = str(error).splitlines()[0][:_LONGEST_REASON] if str(error) else type(error).__name__
            self._say(
                f"MLflow at {_without_password(self._uri)} fails, so this training is tracked no further: {reason}"
            )
            self._client, self._run_id = None, self._run_id or "none"


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """MLflow warns of its own dependencies and tells of its database; none of that is for the user of a training."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _make_folder(uri: str) -> None:
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)


def _artifacts(uri: str) -> str | None:
    """Beside a SQLite file; where a server keeps them is its own affair."""
    if not uri.startswith("sqlite:///"):
        return None
    return str((Path(uri.removeprefix("sqlite:///")).parent / "mlflow-artifacts").resolve())


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested knobs as `train.phases.0.epochs`."""
    if isinstance(value, Mapping):
        pairs: Any = value.items()
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        pairs = enumerate(value)
    else:
        yield prefix, str(value)
        return
    for name, inner in pairs:
        yield from _flat(inner, f"{prefix}.{name}" if prefix else str(name))


def _without_password(uri: str) -> str:
    return uri.rsplit("@", 1)[-1]
