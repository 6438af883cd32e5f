from pathlib import Path

import pytest

from model.config import Temperatures
from model.network import build
from training.fit import SMALL
from training.true_images import read_manifest, true_image_figures

MANIFEST = Path(__file__).parents[4] / "shared" / "data" / "manifest.csv"


def test_only_pictures_of_our_classes_are_read(tmp_path):
    """Traps, hostile files and other classes are left out."""
    (tmp_path / "manifest.csv").write_text(
        "file,class,role,repo\na.png,flux,pixel,x/y\nb.png,flux,trap,x/y\nc.png,imagen,pixel,x/y\nd.png,hostile,hostile,z\n"
    )
    (row,) = read_manifest(tmp_path / "manifest.csv")
    assert (row.path, row.label, row.repository) == (tmp_path / "a.png", "flux", "x/y")


@pytest.mark.skipif(not MANIFEST.exists(), reason="the folder of true images is not beside this checkout")
def test_true_images_are_judged_with_n_and_intervals():
    """An untrained network is at chance within its interval, and the figures say how many images that rests on."""
    every = read_manifest(MANIFEST)
    images = [next(image for image in every if image.label == name) for name in ("real", "flux", "dalle3")]
    figures = true_image_figures(build(SMALL), Temperatures(), images, seed=1)
    assert (figures["n"], figures["rejected"], sum(figures["n_by_class"].values())) == (3, 0, 3)
    assert 0 <= figures["real_vs_ai_auroc"] <= 1
