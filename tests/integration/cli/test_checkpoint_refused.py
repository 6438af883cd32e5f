"""A worker that is given a file that is not the model it was meant to be refuses to start, before it asks for a broker."""

import os
import pickle
import shutil
import subprocess
import sys

import pytest

from model.checkpoint import DEMO_CHECKPOINT

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.parametrize(
    ("name", "sha256", "said"),
    [
        ("model.safetensors", "0" * 64, "SHA-256"),
        ("model.pt", None, "pickle"),
        ("pickle.safetensors", None, "pickle"),
    ],
    ids=["another hash", "a .pt file", "a pickle by another name"],
)
def test_a_worker_refuses_a_checkpoint_that_is_not_the_pinned_one_or_could_run_code(tmp_path, name, sha256, said):
    """Exit 78 with the reason; the pickle would have made a file, and did not."""
    path, proof = tmp_path / name, tmp_path / "it-ran"
    if name == "model.safetensors":
        shutil.copy(DEMO_CHECKPOINT, path)
    else:
        path.write_bytes(pickle.dumps(Trap(str(proof))))
    refused = subprocess.run(
        [sys.executable, "-m", "streams.cli", "worker"],
        env={
            **os.environ,
            "DEEPTRACE_MODEL__CHECKPOINT": str(path),
            "DEEPTRACE_MODEL__ALLOW_SIMULATED": "true",
            **({"DEEPTRACE_MODEL__SHA256": sha256} if sha256 else {}),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode == 78, refused
    assert "checkpoint_refused" in refused.stderr
    assert said in refused.stderr
    assert not proof.exists()


class Trap:
    """Runs on unpickling."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")
