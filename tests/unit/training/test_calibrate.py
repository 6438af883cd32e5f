import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.judged import CLASSES, write_checkpoint, write_judged
from typer.testing import CliRunner

from model.checkpoint import load, load_classifier
from model.decision import decide
from model.embedding import unpacked
from model.pixels import preprocess
from model.policy import policy_of
from schemas.errors import ConfigError, UsageError
from streams.cli.main import app
from streams.drift.profiles import read_profile
from training.calibrate import calibrate_checkpoint
from training.image_sets import images_of
from training.manifest import write_manifest
from training.params import CalibrateParams
from training.scores import answers
from training.served import arrived

pytestmark = pytest.mark.timeout(900)  # the first test pays for what its fixture makes

PARAMS = CalibrateParams(false_positive_rate=0.1, false_negative_rate=0.1, coverage=0.8)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A manifest, an uncalibrated checkpoint, and what calibration makes of it."""
    folder = tmp_path_factory.mktemp("judged")
    manifest = write_judged(folder)
    write_manifest(folder / "manifest.csv", manifest)
    write_checkpoint(folder / "last.safetensors")
    done = calibrate_checkpoint(folder / "last.safetensors", manifest, folder / "out.safetensors", map, params=PARAMS)
    return folder, manifest, done


def refused(world, manifest, match, params=PARAMS, checkpoint="last.safetensors"):
    folder = world[0]
    with pytest.raises((UsageError, ConfigError), match=match) as caught:
        calibrate_checkpoint(folder / checkpoint, manifest, folder / "never.safetensors", map, params=params)
    assert not (folder / "never.safetensors").exists()
    assert caught.value.remedy
    return caught.value


def without(manifest, unwanted):
    return replace(manifest, rows=tuple(row for row in manifest.rows if not unwanted(row)))


def test_the_weights_stay_and_the_rules_are_added(world):
    """The new checkpoint says what was fitted, on how many images, and with which rates."""
    folder, _, done = world
    before, after = load(folder / "last.safetensors"), load(done.path, expected_sha256=done.sha256)
    assert all(torch.equal(a, b) for a, b in zip(before.network.parameters(), after.network.parameters(), strict=True))
    assert before.open_set is None
    assert after.meta.abstention == done.abstention
    assert after.meta.temperatures == done.temperatures
    decision, novelty, conformal = done.abstention.decision, done.abstention.novelty, done.abstention.conformal
    assert (decision.reals, decision.generated, decision.false_positive_rate) == (20, 40, 0.1)
    assert (novelty.images, novelty.false_rejection_rate) == (60, 0.05)
    assert (conformal.images, conformal.coverage) == (60, 0.8)
    assert done.abstention.fitted_on == "laundered"
    assert done.facts["images"] == dict.fromkeys(CLASSES, 20)


def test_the_profile_counts_every_calibration_image(world):
    """By true class; it is in the metadata, where the drift worker finds it, with the share of each class in the split."""
    _, _, done = world
    profile = load(done.path).meta.profile
    assert profile == done.profile == read_profile(done.path)
    assert profile.calibration_id == load(done.path).meta.calibration_id
    assert profile.prior == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert {name: sum(row) for name, row in profile.cells.items()} == dict.fromkeys(CLASSES, 20)


def test_novel_images_have_landmarks(world):
    """A served image over the threshold says where it lies; which class it is nearest to is one of the known."""
    _, manifest, done = world
    served, loaded = load_classifier(done.path, device="cpu"), load(done.path)
    assert loaded.open_set.landmarks.axes.shape == (16, 32)
    image = images_of(manifest, "calibration", CLASSES)[0]
    data = arrived(image, "laundered", seed=7)
    bent = preprocess(data, policy_of(loaded.meta.preprocess_id), seed=b"")
    strict = replace(
        served.info,
        abstention=done.abstention.model_copy(
            update={"novelty": done.abstention.novelty.model_copy(update={"threshold": -1e6})}
        ),
    )
    served.info = strict
    (one,) = served.predict([bent], explain=[False])
    novelty = decide(one).novelty
    assert novelty.nearest in CLASSES
    assert len(unpacked(novelty.embedding)) == 32


def test_the_rates_hold_on_the_images_they_were_fitted_on(world):
    """Served answers to the calibration images keep every promise."""
    _, manifest, done = world
    loaded = load(done.path)
    found = answers(
        loaded.network,
        images_of(manifest, "calibration", CLASSES),
        "laundered",
        map,
        seed=PARAMS.seed,
        policy=policy_of(loaded.meta.preprocess_id),
        open_set=loaded.open_set,
    )
    probs = found.probs(done.temperatures)
    p_ai, is_ai = 1 - probs[:, 0], found.is_ai
    rule = done.abstention.decision
    assert (p_ai[~is_ai] >= rule.ai_from).mean() <= 0.1
    assert (p_ai[is_ai] <= rule.real_to).mean() <= 0.1
    assert (found.novelty > done.abstention.novelty.threshold).mean() <= 0.05
    assert (probs[np.arange(60), found.labels] >= done.abstention.conformal.least_probability).mean() >= 0.8


def test_serving_says_what_calibration_measured(world):
    """Probabilities, branches and novelty of the served classifier are those that the rules were fitted on."""
    _, manifest, done = world
    served = load_classifier(done.path, device="cpu")
    images = images_of(manifest, "calibration", CLASSES)[18:23]
    loaded = load(done.path)
    policy = policy_of(loaded.meta.preprocess_id)
    found = answers(loaded.network, images, "laundered", map, seed=7, policy=policy, open_set=loaded.open_set)
    pixels = [
        preprocess(data, policy, seed=hashlib.sha256(data).digest())
        for data in (arrived(image, "laundered", seed=7) for image in images)
    ]
    for row, prediction in enumerate(served.predict(pixels, explain=[False] * len(pixels))):
        assert found.probs(done.temperatures)[row] == pytest.approx(prediction.probs, abs=1e-4)
        assert found.novelty[row] == pytest.approx(prediction.novelty, abs=1e-2)
        for member in prediction.members:
            assert found.probs(done.temperatures, member.name)[row] == pytest.approx(member.probs, abs=1e-4)


def test_equal_inputs_give_equal_bytes(world, tmp_path):
    """The draws hang on the seed and the names of the files."""
    folder, manifest, done = world
    again = calibrate_checkpoint(folder / "last.safetensors", manifest, tmp_path / "b.safetensors", map, params=PARAMS)
    assert again.sha256 == done.sha256


def test_no_calibration_split_is_refused(world):
    """Every class is named with its count."""
    error = refused(world, without(world[1], lambda row: row.split == "calibration"), "split calibration has too few")
    assert "0 of real, 0 of dalle3, 0 of flux" in error.why


def test_a_class_with_too_few_images_is_named(world):
    """Nineteen of flux."""
    short = without(world[1], lambda row: row.file == "calibration/flux/3.png")
    error = refused(world, short, "too few images of flux")
    assert "19 of flux; 20 a class are needed" in error.why


def test_a_rate_that_needs_more_photographs_is_refused(world):
    """One in a hundred cannot be promised from twenty."""
    error = refused(world, world[1], "20 images are too few", PARAMS.model_copy(update={"false_positive_rate": 0.01}))
    assert "from 99 images on" in error.why


def test_a_checkpoint_of_other_classes_is_refused(world):
    """The manifest's class that it does not know is named, and what it knows."""
    write_checkpoint(world[0] / "other.safetensors", ("real", "dalle3", "imagen"))
    error = refused(world, world[1], "not taught: flux", checkpoint="other.safetensors")
    assert "real, dalle3, imagen" in error.why


def test_a_condition_that_is_none_is_refused(world):
    """Before anything is scored."""
    refused(world, world[1], "unknown condition", PARAMS.model_copy(update={"condition": "launderd"}))


def test_a_file_that_is_gone_is_named(world):
    """With what to do about it."""
    rows = tuple(replace(row, file="gone.png") if row.file == "train/real/0.png" else row for row in world[1].rows)
    refused(world, replace(world[1], rows=rows), "gone.png cannot be read")


def test_the_command_prints_what_was_fitted(world, tmp_path):
    """As JSON for scripts; the checkpoint is where it was asked for."""
    folder = world[0]
    params = tmp_path / "params.yaml"
    params.write_text("calibrate: {false_positive_rate: 0.1, false_negative_rate: 0.1}\ntrain: {processes: 1}\n")
    options = ["--checkpoint", f"{folder}/last.safetensors", "--manifest", f"{folder}/manifest.csv"]
    result = CliRunner().invoke(
        app, ["calibrate", *options, "--params", str(params), "--out", str(tmp_path / "c.safetensors"), "--json"]
    )
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["sha256"] == load(tmp_path / "c.safetensors").sha256
    assert printed["abstention"]["decision"]["reals"] == 20
    assert printed["profile"] == load(tmp_path / "c.safetensors").meta.profile.to_json()
