"""`deeptrace finetune` on folders as a user has them."""

import hashlib
import json
import shutil

import pytest

from model.checkpoint import load, load_classifier
from model.pixels import preprocess

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, deeptrace):
    """Sixteen images each of `real`, `flux`, and `midjourney`, which the checkpoint does not know; nothing but sub-folders."""
    place = tmp_path_factory.mktemp("folder")
    deeptrace(
        "data", "simulate", "--out", place / "corpus", "--scenes", 16, "--calibration-scenes", 0, "--test-scenes", 0,
        "--classes", "real,flux,midjourney", "--seed", 11, "--processes", 1, cwd=place,
    )  # fmt: skip
    return place / "corpus" / "train"


def test_a_folder_with_a_new_name_becomes_a_new_class(workplace, folder, whole, deeptrace):
    """The old classes keep their places, the new one comes last; shape and pixels are the checkpoint's; the result serves three classes."""
    start = whole[0] / "last.safetensors"
    (workplace / "params.yaml").write_text((workplace / "params.yaml").read_text().replace("[32, 16]", "[64, 32]"))
    done = deeptrace("finetune", folder, "--checkpoint", start, "--out", "out", "--json", cwd=workplace)
    report = json.loads(done.stdout)
    loaded = load(workplace / "out" / "last.safetensors", expected_sha256=report["checkpoint"]["sha256"])
    assert "new classes: midjourney" in done.stderr
    assert loaded.meta.config.classes == ("real", "flux", "midjourney")
    assert loaded.meta.config.hidden == (32, 16)
    assert [epoch["phase"] for epoch in report["epochs"]] == ["head", "top"]
    assert loaded.meta.kind == "demo_simulated"
    assert loaded.meta.training_data.startswith("simulated")
    assert loaded.meta.version.startswith("finetuned-")
    assert report["begun_from"] == hashlib.sha256(start.read_bytes()).hexdigest()
    data = next((folder / "midjourney").iterdir()).read_bytes()
    served = load_classifier(workplace / "out" / "last.safetensors", device="cpu")
    (prediction,) = served.predict([preprocess(data, seed=b"1")], explain=[False])
    assert prediction.probs.shape == (3,)
    splits = {line.rsplit(",", 1)[1] for line in (workplace / "out" / "manifest.csv").read_text().splitlines()[1:]}
    assert splits == {"train", "calibration", "test"}


def test_known_classes_are_learnt_further(workplace, folder, whole, deeptrace):
    """No new class, a class that is missing is told, and the first layers are those of the checkpoint to the last bit."""
    shutil.copytree(folder / "real", workplace / "mine" / "real")
    shutil.copytree(folder / "midjourney", workplace / "mine" / "flux")
    start = load(whole[0] / "last.safetensors")
    done = deeptrace("finetune", "mine", "--checkpoint", whole[0] / "last.safetensors", "--out", "out", cwd=workplace)
    network = load(workplace / "out" / "last.safetensors").network
    assert "no new class" in done.stderr
    assert network.config.classes == ("real", "flux")
    assert network.cnn.backbone.conv_stem.weight.equal(start.network.cnn.backbone.conv_stem.weight)
    assert not network.head[1].weight.equal(start.network.head[1].weight)


def test_what_cannot_be_learnt_from_is_told_with_a_remedy(workplace, whole, deeptrace):
    """An empty folder; a file that is no checkpoint."""
    (workplace / "empty").mkdir()
    start = whole[0] / "last.safetensors"
    refused = deeptrace("finetune", "empty", "--checkpoint", start, cwd=workplace, code=2)
    assert "holds no labelled images" in refused.stderr
    assert "do: " in refused.stderr
    refused = deeptrace("finetune", "empty", "--checkpoint", "params.yaml", cwd=workplace, code=78)
    assert "no safetensors file" in refused.stderr
