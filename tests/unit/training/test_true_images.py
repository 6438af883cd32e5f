from pathlib import Path

import pytest
from support.judged import write_checkpoint

from model.config import Temperatures
from model.policy import DEFAULT_POLICY
from schemas.errors import UsageError
from training.report.figures import Rules
from training.true_images import true_image_figures, true_images

MANIFEST = Path(__file__).parents[4] / "shared" / "data" / "manifest.csv"
CLASSES = ("real", "flux", "dalle3")


def test_only_pictures_of_our_classes_are_read(tmp_path):
    """Traps, hostile files and other classes are left out; a repository is a unit."""
    (tmp_path / "manifest.csv").write_text(
        "file,class,role,repo\na.png,flux,pixel,x/y\nb.png,flux,trap,x/y\nc.png,imagen,pixel,x/y\nd.png,hostile,hostile,z\n"
    )
    (image,) = true_images(tmp_path / "manifest.csv", CLASSES)
    assert (image.path, image.label, image.unit) == (tmp_path / "a.png", 1, "x/y")


def test_a_plain_list_needs_file_and_class_only(tmp_path):
    """Without a source every file is a unit of its own."""
    (tmp_path / "list.csv").write_text("file,class\na.png,real\nb.png,flux\n")
    assert [image.unit for image in true_images(tmp_path / "list.csv", CLASSES)] == ["a.png", "b.png"]


@pytest.mark.parametrize("text", [None, "path,label\na.png,real\n"])
def test_a_list_that_is_none_is_refused(tmp_path, text):
    """Missing, or without the columns; the remedy names the knob."""
    if text is not None:
        (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UsageError, match="list of true images") as caught:
        true_images(tmp_path / "list.csv", CLASSES)
    assert "evaluate.true_images" in caught.value.remedy


@pytest.mark.skipif(not MANIFEST.exists(), reason="the folder of true images is not beside this checkout")
def test_true_images_are_judged_with_n_and_intervals(tmp_path):
    """An untrained network is at chance within its interval, and the figures say how many images that rests on."""
    from model.checkpoint import load

    write_checkpoint(tmp_path / "c.safetensors", CLASSES)
    every = true_images(MANIFEST, CLASSES)
    images = [next(image for image in every if image.label == label) for label in range(3)]
    figures = true_image_figures(
        load(tmp_path / "c.safetensors").network,
        images,
        map,
        Rules(Temperatures(), None, seed=1, rounds=20),
        policy=DEFAULT_POLICY,
        simulated=True,
    )
    assert (figures.n, figures.refused, figures.by_class) == (3, 0, dict.fromkeys(CLASSES, 1))
    assert 0 <= figures.auroc.value <= 1
    assert figures.chance == {"balanced_accuracy": 0.3333, "auroc": 0.5}
