import hashlib
import json
import subprocess
import sys

from PIL import Image

COMMAND = [sys.executable, "-m", "training.samples"]


def test_the_command_writes_images_and_an_index(tmp_path):
    """Seven files: every class, JPEG and PNG, named by class, with hashes that fit."""
    done = subprocess.run(
        [*COMMAND, "--out", tmp_path, "--count", "7", "--seed", "3"], capture_output=True, text=True, check=True
    )
    index = json.loads((tmp_path / "index.json").read_text())
    assert done.stdout == f"7 simulated images in {tmp_path}\n"
    assert (index["training_data"], index["seed"]) == ("simulated-v2", 3)
    assert [row["file"] for row in index["images"][-3:]] == [
        "simulated_flux_0004.jpg", "simulated_real_0005.png", "simulated_stable_diffusion_0006.png",
    ]  # fmt: skip
    for row in index["images"]:
        assert row["sha256"] == hashlib.sha256((tmp_path / row["file"]).read_bytes()).hexdigest()
        with Image.open(tmp_path / row["file"]) as image:
            image.load()
            assert min(image.size) >= 224


def test_it_starts_without_torch():
    """The demo waits for it; torch alone would take seconds."""
    probe = "import sys, training.samples; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_help_names_the_options():
    """Every option is shown with its default."""
    text = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(option in text for option in ("--out", "--count", "--seed", "64", "7"))
