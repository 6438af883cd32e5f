"""`deeptrace tune` on two images a step: what it keeps, and that it goes on."""

import json

import pytest
import yaml
from support.train_command import TINY_YAML

from training.params import Params

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_a_second_call_brings_the_study_to_the_number_of_trials(workplace, corpus, deeptrace):
    """Two trials, then three in total: one more is run. The best one's fragment is valid parameters; other knobs need another study."""
    arguments = ("tune", "--manifest", corpus / "manifest.csv")
    first = json.loads(deeptrace(*arguments, "--trials", 2, "--json", cwd=workplace).stdout)
    assert len(first["trials"]) == 2
    again = deeptrace(*arguments, "--trials", 3, cwd=workplace)
    assert "2 of 3 trials are done" in again.stderr
    assert [line.split(":")[0] for line in again.stderr.splitlines() if line.startswith("trial ")] == ["trial 2"]
    fragment = yaml.safe_load(again.stdout)
    assert set(fragment) == {"model", "train", "augment"}
    assert set(fragment["train"]) == {"phases", "weight_decay", "branch_weight"}
    assert Params.model_validate(fragment).train.phases[0].epochs == 1
    (workplace / "params.yaml").write_text(TINY_YAML.replace("[32, 16]", "[64, 16]"))
    refused = deeptrace(*arguments, "--trials", 4, cwd=workplace, code=2)
    assert "tune.study" in refused.stderr
