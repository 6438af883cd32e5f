"""The commands of training in processes of their own, on a small network."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors import SafetensorError, safe_open

TINY_YAML = """
model:
  cnn: {name: test_efficientnet}
  vit: {name: test_vit, kwargs: {img_size: 224}}
  hidden: [32, 16]
train:
  phases:
    - {name: head, layers: head, epochs: 1, learning_rate: 1.0e-3}
    - {name: all, layers: all, epochs: 2, learning_rate: 1.0e-3}
  batch_size: 4
  validation_share: 0.2
  state_steps: 1
  processes: 1
  device: cpu
finetune:
  phases:
    - {name: head, layers: head, epochs: 1, learning_rate: 3.0e-4}
    - {name: top, layers: top, epochs: 1, learning_rate: 1.0e-4}
  batch_size: 4
  validation_share: 0.2
  processes: 1
  device: cpu
tracking: {uri: null}
"""


def command(*arguments: object) -> list[str]:
    """Return the command line of `deeptrace ARGUMENTS`."""
    return [sys.executable, "-m", "streams.cli", *map(str, arguments)]


def one_thread(**more: str) -> dict[str, str]:
    """Return an environment in which sums round the same way every time, whatever else the machine does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def kill_in_mid_epoch(*arguments: object, cwd: Path, batch: int = 2) -> None:
    """Start a training and send it SIGKILL once its state in `out` was written after `batch` steps of an epoch, or later in it."""
    state = cwd / "out" / "state.safetensors"
    process = subprocess.Popen(
        command(*arguments), cwd=cwd, env=one_thread(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 200
        while batch_of(state) < batch and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert state.exists()


def batch_of(state: Path) -> int:
    """Return the step of the epoch that the state was written after; 0 where there is none."""
    try:
        with safe_open(state, framework="pt") as file:
            return int(json.loads(file.metadata()["deeptrace-training"])["place"]["batch"])
    except (FileNotFoundError, SafetensorError):
        return 0
