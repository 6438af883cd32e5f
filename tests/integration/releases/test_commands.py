"""`deeptrace model` as a person types it, against a real S3 server."""

import hashlib
import json
import os
import secrets
import sqlite3
import subprocess
import sys

import pytest
from support.tiny_release import write_checkpoint

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def deeptrace(s3proxy, tmp_path):
    """Run `deeptrace` with a registry of its own; returns exit code, what it printed as JSON, and standard error."""
    env = {
        "DEEPTRACE_STORE__ENDPOINT": s3proxy.endpoint,
        "DEEPTRACE_STORE__ACCESS_KEY": s3proxy.access_key,
        "DEEPTRACE_STORE__SECRET_KEY": s3proxy.secret_key,
        "DEEPTRACE_STORE__MODEL_BUCKET": f"models-{secrets.token_hex(6)}",
    }

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "streams.cli", *arguments],
            env={**os.environ, **env},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return (
            done.returncode,
            [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")],
            done.stderr,
        )

    return run


@pytest.fixture
def checkpoints(tmp_path):
    """Two checkpoints, and a report card of the first."""
    sha256 = write_checkpoint(tmp_path / "one.safetensors", seed=1, version="trained-1")
    write_checkpoint(tmp_path / "two.safetensors", seed=2, version="trained-2")
    card = {"checkpoint": {"sha256": sha256}, "headline": {"macro_f1": 0.91, "auroc": 0.97}}
    (tmp_path / "report.json").write_text(json.dumps(card))
    (tmp_path / "report.html").write_text("<p>card</p>")
    return sha256


def test_from_publishing_to_rolling_back(deeptrace, checkpoints):
    """Each step's JSON says what it did, and the list what came of it."""
    assert deeptrace("storage", "init", "--json")[1][-1]["created"] is True
    code, [first], _ = deeptrace(
        "model", "publish", "one.safetensors", "--report", "report.json", "--version", "1.0", "--json"
    )
    assert (code, first["created"], first["sha256"], first["figures"]["macro_f1"]) == (0, True, checkpoints, 0.91)
    deeptrace("model", "publish", "two.safetensors", "--version", "1.1")
    assert deeptrace("model", "promote", "1.0", "--json")[1][0]["before"] is None
    assert deeptrace("model", "promote", "1.1", "--json")[1][0]["before"] == "1.0"
    code, [back], _ = deeptrace("model", "rollback", "--json")
    assert (code, back["action"], back["before"], back["version"]) == (0, "rollback", "1.1", "1.0")
    _, listed, _ = deeptrace("model", "list", "--json")
    assert [(row["version"], row["aliases"]) for row in listed] == [("1.0", ["champion"]), ("1.1", [])]
    _, [shown], _ = deeptrace("model", "show", "champion", "--json")
    assert (shown["version"], shown["aliases"]["champion"]["number"]) == ("1.0", 3)
    missing = deeptrace("model", "show", "9.9")
    assert (missing[0], "release_missing" in missing[2]) == (78, True)


def test_a_release_is_exported_to_mlflow(deeptrace, checkpoints, tmp_path):
    """A run with its files, figures and facts, and a registered version with the alias: read back from the SQLite store itself."""
    deeptrace("storage", "init")
    deeptrace("model", "publish", "one.safetensors", "--report", "report.json", "--version", "1.0")
    code, printed, said = deeptrace("model", "export", "1.0", "--mlflow", f"sqlite:///{tmp_path}/mlflow.db", "--json")
    assert code == 0, said
    [done] = printed
    assert (done["model"], done["version"], done["alias"]) == ("detector", "1", "champion")
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        alias = database.execute(
            "select alias, version from registered_model_aliases where name = 'detector'"
        ).fetchall()
        metrics = dict(
            database.execute("select key, value from metrics where run_uuid = ?", [done["run_id"]]).fetchall()
        )
        tags = dict(database.execute("select key, value from model_version_tags where name = 'detector'").fetchall())
        [(source,)] = database.execute("select source from model_versions where name = 'detector'").fetchall()
    assert [(name, int(version)) for name, version in alias] == [("champion", 1)]
    assert metrics == {"macro_f1": 0.91, "auroc": 0.97}
    assert (tags["deeptrace.release"], tags["deeptrace.sha256"]) == ("detector@1.0", checkpoints)
    [weights] = tmp_path.rglob("release/model.safetensors")
    assert source.endswith("release")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == checkpoints
    assert sorted(path.name for path in weights.parent.iterdir()) == [
        "manifest.json",
        "model.safetensors",
        "report.html",
        "report.json",
    ]
