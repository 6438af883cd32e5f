import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import load_classifier
from model.pixels import preprocess
from model.policy import DEFAULT_POLICY
from training.corpus.build import CLASSES, build, on_cores
from training.dataset import collate, served_batches, training_batches
from training.evaluate import bars_met
from training.fit import Knobs, fit
from training.recipe import Recipe, make
from training.scores import BRANCHES, score
from training.shots import CONDITIONS, served_shot, training_shot


@pytest.fixture(scope="module")
def examples():
    with on_cores(1) as ordered_map:
        return list(build(7, range(4), ordered_map))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The whole recipe on a handful of scenes."""
    out = tmp_path_factory.mktemp("demo")
    tiny = Recipe(train_scenes=20, calibration_scenes=2, test_scenes=2, audit_scenes=20, epochs=1)
    return out, make(tiny, out, command="test", processes=2)


def test_a_training_shot_is_one_native_crop_that_changes_with_the_epoch(examples):
    """Augmentation is fresh each epoch and repeats by seed."""
    shots = [
        training_shot(examples[0], seed=7, epoch=epoch, launder_share=1.0, policy=DEFAULT_POLICY) for epoch in (0, 0, 1)
    ]
    assert shots[0].crops.shape == (1, 224, 224, 3)
    assert np.array_equal(shots[0].crops, shots[1].crops)
    assert not np.array_equal(shots[0].crops, shots[2].crops)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_served_shot_is_what_serving_takes(examples, condition):
    """Every condition gives up to five crops and the view."""
    shot = served_shot(examples[6], seed=7, condition=condition, policy=DEFAULT_POLICY)
    assert shot.crops.shape[1:] == shot.view.shape == (224, 224, 3)
    assert (shot.label, shot.group) == (1, 1)


def test_batches_keep_crops_with_their_images(examples):
    """Rows of crops point at their image."""
    shots = [served_shot(e, seed=7, condition="clean", policy=DEFAULT_POLICY) for e in examples[:3]]
    batch = collate(shots)
    assert batch.image_of.tolist() == [i for i, shot in enumerate(shots) for _ in shot.crops]
    assert batch.labels.tolist() == [0, 1, 2]


def test_an_epoch_shows_each_image_at_most_once_in_a_new_order(examples):
    """Twenty images in batches of eight: two batches, the rest is dropped."""

    def labels(epoch):
        batches = training_batches(
            examples, map, seed=7, epoch=epoch, batch_size=8, launder_share=0.0, policy=DEFAULT_POLICY
        )
        return [(group, int(label)) for b in batches for group, label in zip(b.groups, b.labels, strict=True)]

    assert len(labels(0)) == len(set(labels(0))) == 16
    assert labels(0) != labels(1)


def test_training_lowers_the_loss(examples):
    """Twenty images, learnt by heart."""
    _, losses = fit(examples, map, Knobs(epochs=6, batch_size=10, launder_share=0.0), progress=lambda _: None)
    assert losses[-1] < 0.9 * losses[0]


def test_the_recipe_writes_a_checkpoint_that_serves(made):
    """The served classifier says what training measured: simulated, and the same probabilities."""
    out, report = made
    served = load_classifier(out / "demo.safetensors", device="cpu", expected_sha256=report["checkpoint"]["sha256"])
    assert served.info.classes == CLASSES
    assert (served.info.kind, served.info.training_data) == ("demo_simulated", "simulated-v1")
    assert (out / "demo.safetensors").stat().st_size < 5 * 2**20


def test_scores_agree_with_the_served_classifier(made, examples):
    """Evaluation judges what serving would say, branch by branch."""
    served = load_classifier(made[0] / "demo.safetensors", device="cpu")
    temperatures = made[1]["temperatures"]
    pixels = [preprocess(e.data, seed=hashlib.sha256(e.data).digest()) for e in examples[:3]]
    said = served.predict(pixels, explain=[False] * 3)
    batches = served_batches(examples[:3], map, seed=7, condition="clean", batch_size=2, policy=DEFAULT_POLICY)
    scored = score(served._network, batches)
    probs = {branch: scored.branches[branch].probs(temperatures[branch]) for branch in BRANCHES}
    for row, prediction in enumerate(said):
        assert probs["fused"][row] == pytest.approx(prediction.probs, abs=1e-4)
        for member in prediction.members:
            assert probs[member.name][row] == pytest.approx(member.probs, abs=1e-4)


def test_the_report_says_how_it_was_made(made):
    """Command, seed, date, hardware, every condition with its n, and no claim."""
    out, report = made
    assert json.loads((out / "demo.json").read_text()) == report
    assert (report["claims"], report["training_data"], report["kind"]) == ("none", "simulated-v1", "demo_simulated")
    assert {"command", "seed", "date", "hardware", "seconds", "bars", "knobs"} <= report.keys()
    assert set(report["figures"]["conditions"]) == {*CONDITIONS, "unseen_clean", "unseen_laundered"}
    assert all(figures["n"] == 10 for figures in report["figures"]["conditions"].values())


def test_bars_name_what_is_not_met():
    """A toy that is always right fails the bars that ask for honesty."""
    perfect = {"accuracy": 1.0, "ece": 0.0}
    names = [*CONDITIONS, "unseen_clean", "unseen_laundered"]
    missed = [name for name, met in bars_met(dict.fromkeys(names, perfect)).items() if not met]
    assert missed == [
        "clean accuracy .90 to .98",
        "laundered accuracy .55 to .80",
        "unseen decoder checkpoints are harder, clean",
        "unseen decoder checkpoints are harder, laundered",
    ]


def test_the_committed_demo_checkpoint_is_the_reported_one():
    """demo.json belongs to demo.safetensors."""
    folder = Path(__file__).parents[3] / "model" / "demo"
    report = json.loads((folder / "demo.json").read_text())
    assert hashlib.sha256((folder / "demo.safetensors").read_bytes()).hexdigest() == report["checkpoint"]["sha256"]
    assert report["seed"] == 7
