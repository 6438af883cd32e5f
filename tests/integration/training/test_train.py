"""`deeptrace train` as a user runs it: in a process of its own, also one that is killed."""

import json
import shutil

import pytest
from PIL import Image
from support.train_command import TINY_YAML, batch_of, kill_in_mid_epoch

from model.checkpoint import load

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_a_training_says_what_it_did_and_what_it_is(whole):
    """A line an epoch where no terminal is; a checkpoint of kind `demo_simulated`; a report with data, knobs, losses, hardware."""
    folder, done = whole
    report = json.loads((folder / "train.json").read_text())
    loaded = load(folder / "last.safetensors", expected_sha256=report["checkpoint"]["sha256"])
    assert report["checkpoint"]["sha256"] in done.stdout
    assert [line.split("  ")[0] for line in done.stderr.splitlines() if "loss" in line] == [
        "head 1/1",
        "all 1/2",
        "all 2/2",
    ]
    assert "audit of 28 images" in done.stderr
    assert (loaded.meta.kind, loaded.meta.version) == ("demo_simulated", "demo-simulated-7")
    assert loaded.meta.training_data.startswith("simulated")
    assert report["images"] == {"real": 8, "flux": 8}
    assert report["validation_images"] == 4
    assert [epoch["phase"] for epoch in report["epochs"]] == ["head", "all", "all"]
    assert report["params"]["train"]["batch_size"] == 4
    assert {"machine", "cores", "threads", "python", "torch"} == report["hardware"].keys()
    assert not (folder / "state.safetensors").exists()


def test_a_training_killed_in_mid_epoch_gives_the_same_checkpoint(workplace, corpus, whole, deeptrace):
    """SIGKILL after the second of four steps, the same command again: the checkpoint's hash is that of the training that nobody disturbed."""
    arguments = ("train", "--manifest", corpus / "manifest.csv", "--out", "out")
    kill_in_mid_epoch(*arguments, cwd=workplace)
    assert 2 <= batch_of(workplace / "out" / "state.safetensors") <= 4
    assert not (workplace / "out" / "last.safetensors").exists()
    again = deeptrace(*arguments, "--json", cwd=workplace)
    assert "going on in phase" in again.stderr
    report = json.loads(again.stdout)
    assert report["checkpoint"] == json.loads((whole[0] / "train.json").read_text())["checkpoint"]


def test_a_stopped_training_is_not_gone_on_with_under_other_knobs(workplace, corpus, deeptrace):
    """Exit 2 and the way out; `--fresh` trains anew."""
    arguments = ("train", "--manifest", corpus / "manifest.csv", "--out", "out")
    kill_in_mid_epoch(*arguments, cwd=workplace, batch=1)
    (workplace / "params.yaml").write_text(TINY_YAML.replace("1.0e-3", "2.0e-3"))
    refused = deeptrace(*arguments, cwd=workplace, code=2)
    assert "--fresh" in refused.stderr
    deeptrace(*arguments, "--fresh", cwd=workplace)
    assert (workplace / "out" / "last.safetensors").exists()


def test_a_corpus_with_a_shortcut_is_not_trained_on(workplace, corpus, deeptrace):
    """Every photograph darkened: exit 3, the shortcut is named, nothing is written."""
    shutil.copytree(corpus, workplace / "dark")
    for path in (workplace / "dark").glob("*/real/*"):
        image = Image.open(path).convert("RGB").point(lambda value: value // 4)
        image.save(path)
    listing = (workplace / "dark" / "manifest.csv").read_text().splitlines()
    columns = listing[0].split(",")
    keep = [columns.index(name) for name in ("file", "class", "group", "split")]
    rows = [",".join(line.split(",")[place] for place in keep) for line in listing]
    (workplace / "dark" / "manifest.csv").write_text("\n".join(rows) + "\n")
    refused = deeptrace("train", "--manifest", "dark/manifest.csv", "--out", "out", cwd=workplace, code=3)
    assert "colour" in refused.stderr
    assert not (workplace / "out").exists()


@pytest.mark.parametrize(
    ("manifest", "code", "said"),
    [
        (None, 2, "cannot be read"),
        ("file,label\na.png,real\n", 2, "lacks the columns class"),
        ("file,class,split\na.png,real,train\n", 2, "all of one class"),
        ("file,class,split\na.png,real,train\nb.png,flux,train\n", 2, "cannot be read"),
    ],
    ids=["absent", "wrong labels file", "one class", "no such images"],
)
def test_what_cannot_be_trained_on_is_told_with_a_remedy(workplace, deeptrace, manifest, code, said):
    """Exit 2, what is wrong, what to do, no traceback."""
    if manifest is not None:
        (workplace / "manifest.csv").write_text(manifest)
    refused = deeptrace("train", "--manifest", "manifest.csv", "--out", "out", cwd=workplace, code=code)
    assert said in refused.stderr
    assert "do: " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_start_that_does_not_fit_is_refused(workplace, corpus, whole, deeptrace):
    """The weights of another head: exit 78 and what differs. Those of this one are a start."""
    last = whole[0] / "last.safetensors"
    arguments = ("train", "--manifest", corpus / "manifest.csv", "--start", last, "--out", "out")
    report = json.loads(deeptrace(*arguments, "--json", cwd=workplace).stdout)
    assert report["begun_from"] == json.loads((whole[0] / "train.json").read_text())["checkpoint"]["sha256"]
    (workplace / "params.yaml").write_text(TINY_YAML.replace("[32, 16]", "[64, 16]"))
    refused = deeptrace(*arguments, cwd=workplace, code=78)
    assert "hidden" in refused.stderr
