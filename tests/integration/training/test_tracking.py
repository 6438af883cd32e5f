"""What MLflow's own client finds after a training, and that a training ends well without MLflow."""

import json
import subprocess
import sys

import pytest
from support.train_command import TINY_YAML, kill_in_mid_epoch, one_thread

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# In a process of its own: MLflow warns of much that is not ours.
ASK = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1], registry_uri=sys.argv[1])
(experiment,) = [e for e in client.search_experiments() if e.name == "deeptrace"]
(run,) = client.search_runs([experiment.experiment_id])
(version,) = client.search_model_versions("name='deeptrace'")
print(json.dumps({
    "status": run.info.status, "params": run.data.params, "tags": run.data.tags,
    "losses": [m.value for m in sorted(client.get_metric_history(run.info.run_id, "loss"), key=lambda m: m.step)],
    "validation": [m.value for m in sorted(client.get_metric_history(run.info.run_id, "validation_loss"), key=lambda m: m.step)],
    "artifacts": [f.path for f in client.list_artifacts(run.info.run_id, "checkpoint")],
    "registered": dict(version.tags), "run_of_version": version.run_id == run.info.run_id,
}))
"""


def test_mlflow_shows_the_run_its_knobs_figures_and_checkpoint(workplace, corpus, deeptrace):
    """In the SQLite file of the parameters, also when the training was killed: one finished run, its losses as in train.json, a registered version."""
    (workplace / "params.yaml").write_text(
        TINY_YAML.replace("tracking: {uri: null}", "tracking: {uri: 'sqlite:///kept/mlflow.db'}")
    )
    arguments = ("train", "--manifest", corpus / "manifest.csv", "--out", "out", "--json")
    kill_in_mid_epoch(*arguments, cwd=workplace)
    report = json.loads(deeptrace(*arguments, cwd=workplace).stdout)
    asked = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK, "sqlite:///kept/mlflow.db"],
        cwd=workplace, env=one_thread(MLFLOW_DISABLE_TELEMETRY="true"), capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    found = json.loads(asked.stdout)
    assert found["status"] == "FINISHED"
    assert found["params"]["train.phases.1.learning_rate"] == "0.001"
    assert found["params"]["images.flux"] == "8"
    assert found["tags"]["data_sha256"] == report["data_sha256"]
    assert found["losses"] == [epoch["loss"] for epoch in report["epochs"]]
    assert found["validation"] == [epoch["validation_loss"] for epoch in report["epochs"]]
    assert found["artifacts"] == ["checkpoint/last.safetensors"]
    assert found["registered"]["sha256"] == report["checkpoint"]["sha256"]
    assert (found["registered"]["classes"], found["registered"]["preprocess_id"]) == (
        "real,flux",
        "crops5-224-native-v1",
    )
    assert found["run_of_version"]


def test_a_server_that_is_down_does_not_end_a_training(workplace, corpus, deeptrace):
    """Nobody listens on the port: one warning, and the checkpoint is written."""
    (workplace / "params.yaml").write_text(TINY_YAML.replace("tracking: {uri: null}", "tracking: {}"))
    arguments = ("train", "--manifest", corpus / "manifest.csv", "--out", "out")
    done = deeptrace(
        *arguments, cwd=workplace, MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"
    )
    assert done.stderr.count("MLflow at http://127.0.0.1:9 fails") == 1
    assert (workplace / "out" / "last.safetensors").exists()
