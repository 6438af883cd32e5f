import hashlib
import json
from pathlib import Path

import pytest

from training.demo import bars_met

HONEST = {
    "clean": 0.95, "laundered": 0.72, "jpeg_q95": 0.86, "jpeg_q85": 0.8, "jpeg_q75": 0.82, "jpeg_q50": 0.65,
    "unseen_clean": 0.9, "unseen_laundered": 0.7, "ece_laundered": 0.06, "shortcuts": 0,
}  # fmt: skip


def missed(**change):
    return [name for name, met in bars_met({**HONEST, **change}).items() if not met]


def test_an_honest_simulation_meets_every_bar():
    """Figures like those of the first design."""
    assert missed() == []


@pytest.mark.parametrize(
    ("change", "bar"),
    [
        ({"clean": 0.99}, "clean accuracy .90 to .98"),
        ({"laundered": 0.5, "unseen_laundered": 0.4}, "laundered accuracy .55 to .80"),
        ({"jpeg_q50": 0.86}, "accuracy falls with JPEG quality (tolerance .03)"),
        ({"unseen_clean": 0.96}, "unseen decoder checkpoints are harder, clean"),
        ({"unseen_laundered": 0.75}, "unseen decoder checkpoints are harder, laundered"),
        ({"ece_laundered": 0.08}, "ECE on laundered below .08"),
        ({"shortcuts": 1}, "no shortcut on canonical crops"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value.split(",")[0].replace(" ", "-") + str(len(value)),
)
def test_a_bar_that_is_not_met_is_named(change, bar):
    """A toy is too good, a failure too bad; each bar on its own."""
    assert missed(**change) == [bar]


def test_the_committed_demo_checkpoint_is_the_reported_one():
    """demo.json belongs to demo.safetensors."""
    folder = Path(__file__).parents[3] / "model" / "demo"
    report = json.loads((folder / "demo.json").read_text())
    assert hashlib.sha256((folder / "demo.safetensors").read_bytes()).hexdigest() == report["checkpoint"]["sha256"]
    assert report["seed"] == 7
    assert (folder / "demo.safetensors").stat().st_size < 5 * 2**20
