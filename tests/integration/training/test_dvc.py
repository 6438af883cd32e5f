"""`dvc repro` on the stages at the root, with little data and small networks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.train_command import TINY_YAML, one_thread

from training.params import Params

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def pipeline(tmp_path):
    """The stages as they are, but for fifty-six images a class of two classes; a params.yaml with every section."""
    stages = (ROOT / "dvc.yaml").read_text()
    assert "--dummy --limit 160" in stages
    few = "--dummy --limit 56 --map 0=real --map 1=flux --processes 1"
    (tmp_path / "dvc.yaml").write_text(stages.replace("--dummy --limit 160", few))
    knobs = {name: {} for name in Params.model_fields} | yaml.safe_load(TINY_YAML)
    knobs["data"] = {"calibration_share": 0.4, "test_share": 0.2}
    knobs["evaluate"] = {
        "bootstrap": 50, "jpeg_qualities": [75], "webp_qualities": [], "resize_factors": [], "leave_out": False, "examples": 0,
    }  # fmt: skip
    write_knobs(tmp_path, Params.model_validate(knobs))
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    (tmp_path / ".dvc" / "config").write_text((ROOT / ".dvc" / "config").read_text() + "    no_scm = true\n")
    return tmp_path


def write_knobs(folder, params):
    (folder / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))


def dvc(folder, *arguments):
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=one_thread(PATH=beside, DVC_NO_ANALYTICS="1"),
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ran(told):
    return [line.split("'")[1] for line in told.splitlines() if line.startswith("Running stage")]


def test_repro_runs_every_stage_once_and_then_what_a_change_touches(pipeline):
    """All five; then none; then, for another weight decay, training and what follows it."""
    assert ran(dvc(pipeline, "repro")) == ["download", "manifest", "train", "calibrate", "evaluate"]
    assert (pipeline / ".deeptrace" / "train" / "report" / "report.json").exists()
    assert ran(dvc(pipeline, "repro")) == []
    knobs = Params.model_validate(yaml.safe_load((pipeline / "params.yaml").read_text()))
    write_knobs(pipeline, knobs.model_copy(update={"train": knobs.train.model_copy(update={"weight_decay": 0.01})}))
    assert ran(dvc(pipeline, "repro")) == ["train", "calibrate", "evaluate"]
