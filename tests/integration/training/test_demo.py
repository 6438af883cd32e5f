"""The command that makes the demo checkpoint, with little of everything."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.train_command import one_thread

from model.checkpoint import load_classifier

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

SHORT = """
model:
  cnn: {name: test_efficientnet}
  vit: {name: test_vit, kwargs: {img_size: 224}}
  hidden: [32, 16]
train:
  phases: [{name: all, layers: all, epochs: 1, learning_rate: 1.0e-3}]
  ema_decay: 0.0
  validation_share: 0.0
  device: cpu
  processes: 1
evaluate: {bootstrap: 20, webp_qualities: [], resize_factors: [], leave_out: false, examples: 0}
gate: {min_accuracy: 1.0}
tracking: {uri: null}
"""


def test_one_command_makes_checkpoint_report_card_and_summary_and_gates_them(tmp_path):
    """Everything is written before the gate says no, with exit 3: nothing learnt in one epoch is always right."""
    (tmp_path / "short.yaml").write_text(SHORT)
    scenes = ["--scenes", "10", "--calibration-scenes", "20", "--test-scenes", "2", "--held-out-scenes", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "training.demo", "--params", tmp_path / "short.yaml", *scenes,
         "--out", tmp_path / "demo", "--report", tmp_path / "docs", "--work", tmp_path / "work"],
        cwd=ROOT, env=one_thread(), capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert "accuracy" in done.stderr
    summary = json.loads((tmp_path / "demo" / "demo.json").read_text())
    served = load_classifier(
        tmp_path / "demo" / "demo.safetensors", device="cpu", expected_sha256=summary["checkpoint"]["sha256"]
    )
    report = json.loads((tmp_path / "docs" / "report.json").read_text())
    assert report["checkpoint"]["sha256"] == summary["checkpoint"]["sha256"]
    assert (tmp_path / "docs" / "report.html").exists()
    assert (served.info.version, served.info.kind) == ("demo-simulated-7", "demo_simulated")
    assert served.info.training_data.startswith("simulated")
    assert served.info.abstention is not None
    assert served.info.prior == pytest.approx((0.2,) * 5)
    assert report["profile"]["calibration_id"] == served.info.calibration_id
    assert sum(map(sum, report["profile"]["cells"].values())) == 10
    assert summary["claims"] == "none"
    assert list(summary["seconds"]) == ["data", "train", "calibrate", "evaluate"]
    assert summary["scenes"]["test_scenes"] == 2
    assert {"command", "seed", "date", "hardware", "bars", "headline", "params"} <= summary.keys()
