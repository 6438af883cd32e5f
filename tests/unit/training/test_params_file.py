from pathlib import Path

import yaml

from training.params import Params, read_params

ROOT = Path(__file__).parents[3]


def test_the_file_at_the_root_says_what_the_defaults_are():
    """Every knob is there with its default: whoever reads the file knows what runs without it."""
    written = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert read_params(ROOT / "params.yaml") == Params()
    assert written == Params().model_dump(mode="json")


def test_the_demo_has_valid_parameters():
    """One phase, no validation, no tracking."""
    demo = read_params(ROOT / "training" / "demo.yaml")
    assert [phase.layers for phase in demo.train.phases] == ["all"]
    assert demo.tracking.uri is None
