"""`datasets` warns of this and that while it is imported, and would reach for its hub: it runs in one process of its own, offline."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from schemas.errors import UsageError
from training.corpus.files import jpeg, png
from training.download import Order

SCRIPT = """
import json, sys
from pathlib import Path
import datasets
from schemas.errors import DeepTraceError
from training.download import Order, fetch

root = Path(sys.argv[1])
features = datasets.Features({
    "picture": datasets.Image(), "model": datasets.Value("string"), "url": datasets.Value("string"), "n": datasets.Value("int64"),
})
file = (root / "folder/real/1.jpg").read_bytes()
rows = {
    "picture": [{"bytes": file, "path": None}, {"bytes": b"no image", "path": None}, {"bytes": file, "path": None}, None],
    "model": ["Stable Diffusion", "Real", "Real", "Real"], "url": ["a", "b", "c", "d"], "n": [0, 1, 1, 1],
}
datasets.Dataset.from_dict(rows, features=features).to_parquet(root / "images.parquet")

def told(name, **order):
    try:
        done = list(fetch(Order(**order), root / "out" / name))
    except DeepTraceError as error:
        return {"error": str(error), "exit": error.exit_code, "remedy": error.remedy}
    return {
        "rows": [[it.row.file, it.row.label, it.row.source, it.row.group] for it in done if it.row],
        "refused": [[it.refused.file, it.refused.label, it.refused.reason] for it in done if it.refused],
    }

folder, parquet = str(root / "folder"), {"dataset": "parquet", "data_files": str(root / "images.parquet")}
print(json.dumps({
    "folder": told("folder", dataset=folder),
    "limited": told("limited", dataset=folder, limit=1),
    "mapped": told("mapped", dataset=folder, classes={"real": "real"}),
    "parquet": told("parquet", **parquet, label_column="model", columns={"group": "url"}),
    "numbers": told("numbers", **parquet, label_column="n", classes={"0": "flux", "1": "real"}),
    "no label": told("x", **parquet),
    "no column": told("x", **parquet, label_column="nope"),
    "no split": told("x", dataset=folder, split="nope"),
    "no folder": told("x", dataset=str(root / "nope")),
    "wrong map": told("x", dataset=folder, classes={"cat": "real"}),
    "no network": told("x", dataset="nobody/nothing"),
}))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(1)
    for label, encode in (("real", lambda pixels: jpeg(pixels, 90)), ("flux", png)):
        for number in range(2):
            path = root / f"folder/{label}/{number}.{'jpg' if label == 'real' else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)))
    return root


@pytest.fixture(scope="module")
def told(root):
    environment = {
        **os.environ,
        "HF_HOME": str(root / "hf"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, root], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_images_keep_the_bytes_they_had(root, told):
    """A folder of images: class by label, files bit for bit."""
    assert [row[:2] for row in told["folder"]["rows"]] == [
        ["flux/0000000.png", "flux"], ["flux/0000001.png", "flux"], ["real/0000002.jpg", "real"], ["real/0000003.jpg", "real"],
    ]  # fmt: skip
    assert {row[2] for row in told["folder"]["rows"]} == {"folder"}
    written = [(root / "out/folder" / row[0]).read_bytes() for row in told["folder"]["rows"]]
    assert written == [
        (root / "folder" / name).read_bytes() for name in ("flux/0.png", "flux/1.png", "real/0.jpg", "real/1.jpg")
    ]


def test_the_limit_is_of_each_class(told):
    """A set that is sorted by class gives more than one class all the same."""
    assert [row[1] for row in told["limited"]["rows"]] == ["flux", "real"]


def test_labels_that_are_not_mapped_are_left_out(told):
    """Only what the user names is taken."""
    assert [row[1] for row in told["mapped"]["rows"]] == ["real", "real"]


def test_labels_become_class_names_and_columns_are_taken_over(root, told):
    """A parquet file: the only column of images, the named one of labels; a record's own group."""
    assert told["parquet"]["rows"] == [
        ["stable_diffusion/0000000.jpg", "stable_diffusion", "parquet", "a"],
        ["real/0000002.jpg", "real", "parquet", "c"],
    ]
    assert (root / "out/parquet/real/0000002.jpg").read_bytes() == (root / "folder/real/1.jpg").read_bytes()


def test_records_without_an_image_are_listed(told):
    """What is no image, and what is nothing at all."""
    assert told["parquet"]["refused"] == [
        ["record 0000001", "real", "the bytes are no image: they start like no image format"],
        ["record 0000003", "real", "the record has no image"],
    ]


def test_numbers_can_be_mapped(told):
    """Labels without names go by their number."""
    assert [row[1] for row in told["numbers"]["rows"]] == ["flux", "real"]


@pytest.mark.parametrize(
    ("case", "code", "message"),
    [
        ("no label", 2, "which column is meant cannot be told: the data set has picture, model, url, n"),
        ("no column", 2, "there is no column nope: the data set has picture, model, url, n"),
        ("no split", 2, "with a split nope: Bad split: nope. Available splits: ['train']"),
        ("no folder", 2, "Couldn't find any data file"),
        ("wrong map", 2, "has no images of the classes that are wanted: the labels are flux, real"),
        ("no network", 69, "the data set nobody/nothing cannot be reached"),
    ],
)
def test_what_cannot_be_fetched_says_why(told, case, code, message):
    """A wrong name is the caller's fault, a network that is away is not; each has a remedy."""
    assert message in told[case]["error"]
    assert told[case]["exit"] == code
    assert told[case]["remedy"]


def test_without_network_dummies_are_offered(told):
    """The remedy is a command that works."""
    assert "--dummy" in told["no network"]["remedy"]


@pytest.mark.parametrize(
    ("order", "message"),
    [({"classes": {"0": "Real"}}, "not a class name: 'Real'"), ({"columns": {"sha256": "x"}}, "sha256")],
)
def test_an_order_that_cannot_be_filled_is_refused(order, message):
    """Before anything is fetched."""
    with pytest.raises(UsageError, match=message):
        Order("x", **order)
