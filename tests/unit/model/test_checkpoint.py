import hashlib
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from model.answer_cells import cell_count
from model.checkpoint import load, load_classifier, save
from model.config import Temperatures
from schemas.calibration import CalibrationProfile
from schemas.errors import CheckpointRefused


@pytest.fixture
def checkpoint(tmp_path, tiny_network, tiny_meta) -> Path:
    path = tmp_path / "model.safetensors"
    save(path, tiny_network, tiny_meta)
    return path


@pytest.fixture
def altered(checkpoint) -> Callable[..., Path]:
    """Write the checkpoint again with other tensors or other metadata."""

    def write(
        *,
        tensors: Callable[[dict[str, torch.Tensor]], object] = lambda _: None,
        meta: Callable[[dict[str, object]], object] = lambda _: None,
    ) -> Path:
        data = checkpoint.read_bytes()
        held = safetensors.torch.load(data)
        tensors(held)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        facts = json.loads(header["deeptrace"])
        meta(facts)
        checkpoint.write_bytes(safetensors.torch.save(held, metadata={"deeptrace": json.dumps(facts)}))
        return checkpoint

    return write


def _refusal(path: Path, **expected: str) -> CheckpointRefused:
    with pytest.raises(CheckpointRefused) as caught:
        load(path, **expected)
    assert caught.value.why
    assert caught.value.remedy
    return caught.value


def test_what_is_saved_is_what_is_loaded(checkpoint, tiny_network, tiny_meta):
    """Every tensor and all metadata, and the file's SHA-256 is the identity."""
    network, meta, sha256, _ = load(checkpoint)
    assert meta == tiny_meta
    assert sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert not network.training
    ours, theirs = tiny_network.state_dict(), network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_header_length_that_looks_like_a_pickle_is_no_pickle(checkpoint):
    """One file in 32 has a header whose length ends in 0x80, the first byte of a pickle."""
    data = checkpoint.read_bytes()
    length = int.from_bytes(data[:8], "little")
    padding = b" " * (-(length - 0x80) % 256)  # a JSON header may end in spaces
    checkpoint.write_bytes(
        (length + len(padding)).to_bytes(8, "little") + data[8 : 8 + length] + padding + data[8 + length :]
    )
    assert checkpoint.read_bytes()[0] == 0x80
    load(checkpoint)


def test_equal_weights_give_equal_bytes(checkpoint, tmp_path):
    """So a checkpoint that is made again can be compared by its hash."""
    network, meta, sha256, open_set = load(checkpoint)
    assert open_set is None
    assert save(tmp_path / "again.safetensors", network, meta) == sha256


def test_a_checkpoint_that_fits_expectations_is_served(checkpoint):
    """Hash in any case of letters, the policy, and the facts a verdict repeats."""
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    classifier = load_classifier(
        checkpoint, device="cpu", expected_sha256=sha256.upper(), expected_preprocess_id="crops5-224-native-v1"
    )
    info = classifier.info
    assert (info.sha256, info.classes, info.kind) == (sha256, ("dalle3", "flux", "real"), "trained")


def test_a_wrong_hash_is_refused(checkpoint):
    """Before anything in the file is believed."""
    assert "SHA-256" in _refusal(checkpoint, expected_sha256="0" * 64).why


def test_a_wrong_pixel_policy_is_refused(checkpoint):
    """Other pixels would give wrong verdicts without a word."""
    assert "crops1-224-native-v1" in _refusal(checkpoint, expected_preprocess_id="crops1-224-native-v1").why


def test_a_pixel_policy_of_another_release_is_refused(altered):
    """The checkpoint names pixels that this release cannot make."""
    path = altered(meta=lambda facts: facts.update(preprocess_id="crops9-512-v7"))
    assert "crops9-512-v7" in _refusal(path).why


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_a_pickle_is_refused_unread(name, tmp_path):
    """Under its own name and under a false one; reading it would run its code."""
    path = tmp_path / name
    path.write_bytes(pickle.dumps({"weights": [1.0]}))
    assert "pickle" in _refusal(path).why


def test_a_zip_is_refused_unread(tmp_path):
    """What torch.save writes is a zip around a pickle."""
    path = tmp_path / "model.safetensors"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    assert "zip" in _refusal(path).why


@pytest.mark.parametrize("size", [0, 4, 8, 200, 100_000])
def test_a_file_cut_short_is_refused(size, checkpoint):
    """In its length, in its header, in its tensors."""
    checkpoint.write_bytes(checkpoint.read_bytes()[:size])
    _refusal(checkpoint)


def test_a_missing_file_is_refused(tmp_path):
    """With the system's own words."""
    assert _refusal(tmp_path / "none.safetensors").why == "No such file or directory"


def test_foreign_safetensors_are_refused(tmp_path):
    """Weights without our metadata could be anything."""
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(safetensors.torch.save({"x": torch.zeros(1)}))
    assert "no DeepTrace metadata" in _refusal(path).why


def test_an_unknown_format_version_is_refused(altered):
    """A later format may mean other things by the same words."""
    path = altered(meta=lambda facts: facts.update(format="deeptrace-checkpoint-2"))
    assert "deeptrace-checkpoint-2" in _refusal(path).why


def test_metadata_that_is_not_valid_is_refused_by_field(altered):
    """The field is named."""
    path = altered(meta=lambda facts: facts["temperatures"].update(fused=-1))
    assert "temperatures.fused" in _refusal(path).why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda held: held.pop("head.0.weight"), "head.0.weight is missing"),
        (lambda held: held.update(extra=torch.zeros(1)), "extra is not of this network"),
        (lambda held: held.update({"head.0.bias": torch.zeros(3)}), "head.0.bias is torch.float32 [3]"),
        (lambda held: held.update({"head.0.bias": held["head.0.bias"].half()}), "head.0.bias is torch.float16"),
        (lambda held: held["head.0.bias"].fill_(float("nan")), "head.0.bias holds values that are not finite"),
    ],
    ids=["missing", "extra", "shape", "type", "nan"],
)
def test_tensors_that_do_not_fit_are_refused_by_name(change, why, altered):
    """Nothing is left at its random start, and nothing is ignored."""
    assert why in _refusal(altered(tensors=change)).why


def test_classes_that_do_not_fit_the_tensors_are_refused(altered):
    """A class more in the list than columns in the head."""
    path = altered(meta=lambda facts: facts["config"]["classes"].append("midjourney"))
    assert "head.6.weight" in _refusal(path).why


def test_a_config_that_would_read_files_is_refused(altered, tmp_path):
    """timm would load the named pickle while it builds the network."""
    path = altered(meta=lambda facts: facts["config"]["cnn"]["kwargs"].update(checkpoint_path=str(tmp_path / "x.pth")))
    assert "checkpoint_path" in _refusal(path).why


def test_the_calibration_id_follows_the_temperatures(tiny_meta):
    """Another temperature, another id; the same, the same."""
    warmer = tiny_meta.model_copy(update={"temperatures": Temperatures(fused=1.5)})
    assert warmer.calibration_id != tiny_meta.calibration_id
    assert (
        warmer.calibration_id == tiny_meta.model_copy(update={"temperatures": Temperatures(fused=1.5)}).calibration_id
    )


def test_a_field_that_earlier_releases_wrote_is_no_fault(altered, tiny_meta):
    """Nothing ever used it; the file is loaded as if it were not there."""
    assert load(altered(meta=lambda facts: facts.update(figures_sha256=""))).meta == tiny_meta


WIDTH = cell_count(3)


def profile_of(meta, **change):
    facts = {
        "schema": "deeptrace.calibration-profile/1",
        "calibration_id": meta.calibration_id,
        "classes": meta.config.classes,
        "prior": [0.25, 0.25, 0.5],
        "cells": {name: [1] * WIDTH for name in meta.config.classes},
    }
    return {**facts, **change}


def test_the_profile_travels_in_the_metadata(altered, tiny_meta):
    """And verdicts carry its prior."""
    path = altered(meta=lambda facts: facts.update(profile=profile_of(tiny_meta)))
    kept = load(path).meta.profile
    assert kept == CalibrationProfile.model_validate(profile_of(tiny_meta))
    assert load_classifier(path, device="cpu").info.prior == (0.25, 0.25, 0.5)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"calibration_id": "0" * 12}, "another calibration"),
        ({"classes": ["flux", "dalle3", "real"]}, "other classes"),
        ({"cells": {name: [1] * (WIDTH - 1) for name in ("dalle3", "flux", "real")}}, "counts other cells"),
        ({"cells": {"dalle3": [1] * WIDTH}}, "other classes"),
        ({"prior": [0.5, 0.5]}, "other classes"),
        ({"prior": [0.0, 0.5, 0.5]}, "prior"),
    ],
)
def test_a_profile_of_another_model_is_refused(change, why, altered, tiny_meta):
    """It would correct windows by what another model does."""
    path = altered(meta=lambda facts: facts.update(profile=profile_of(tiny_meta, **change)))
    assert why in _refusal(path).why


def test_a_class_list_that_no_verdict_could_hold_is_refused(altered):
    """When the file is opened, not when a verdict of it is too large."""
    path = altered(
        meta=lambda facts: facts["config"].update(classes=[f"{n:02d}".ljust(64, "x") for n in range(39)] + ["real"])
    )
    with pytest.raises(CheckpointRefused, match="too long"):
        load(path)


def test_a_rule_for_novel_images_needs_something_to_measure_them_with(altered):
    """Without the open set beside the weights every image would count as known."""
    rules = {
        "fitted_on": "laundered",
        "decision": {
            "ai_from": 0.8,
            "real_to": 0.2,
            "false_positive_rate": 0.01,
            "false_negative_rate": 0.05,
            "reals": 9,
            "generated": 9,
        },
        "novelty": {"method": "logit_density", "threshold": 1.0, "false_rejection_rate": 0.05, "images": 18},
    }
    assert "nothing to measure" in _refusal(altered(meta=lambda facts: facts.update(abstention=rules))).why
