"""All maps of one image, by a network that was never trained."""

import numpy as np
import pytest
import torch

from model.config import Backbone
from model.decode import from_array
from model.ensemble import EnsembleClassifier
from model.explain.explanation import explain
from model.network import build
from model.pixels import cut
from schemas.errors import UsageError


@pytest.fixture(scope="module")
def classifier(tiny_network, tiny_meta):
    return EnsembleClassifier(tiny_network, tiny_meta, "0" * 64, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def pixels():
    x, y = np.meshgrid(np.arange(300), np.arange(240))
    noise = np.random.default_rng(3).integers(0, 90, (240, 300, 3))
    return cut(from_array((noise + (x + y)[..., None] % 160).clip(0, 255).astype(np.uint8)), seed=b"p")


@pytest.fixture(scope="module")
def one_crop():
    """Small enough for LIME in a test: the only crop is the picture."""
    return cut(from_array(np.random.default_rng(6).integers(0, 256, (224, 224, 3), dtype=np.uint8)), seed=b"o")


def test_each_branch_has_its_map_and_lime_the_ensemble(classifier, one_crop):
    """In the order of the figure; every map but the spectrum is held against chance."""
    found = explain(classifier, one_crop, lime=True, lime_samples=16)
    assert [(one.part, one.method) for one in found.maps] == [
        ("cnn", "grad-cam"),
        ("vit", "attention-gradient"),
        ("fft", "spectrum"),
        ("ensemble", "lime"),
    ]
    assert [one.faithfulness is None for one in found.maps] == [False, False, True, False]
    assert found.target == found.prediction.cam_class
    assert found.maps[3].details["samples"] == 16


def test_what_is_no_better_than_chance_is_withheld_and_nothing_of_it_is_shown(classifier, pixels):
    """For some class some map is; its picture is the image itself."""
    maps = [one for name in classifier.info.classes for one in explain(classifier, pixels, target=name).maps]
    withheld = [one for one in maps if one.status == "withheld"]
    shown = [one for one in maps if one.status == "shown" and one.part != "fft"]
    assert withheld
    assert shown
    assert all(one.faithfulness <= 0 and np.array_equal(one.picture, pixels.thumb) for one in withheld)
    assert all(one.faithfulness > 0 and not np.array_equal(one.picture, pixels.thumb) for one in shown)


def test_the_overlay_of_the_worker_is_measured_alike(classifier, pixels):
    """The same map, the same deletion, the same figure."""
    (prediction,) = classifier.predict([pixels], explain=[True])
    assert explain(classifier, pixels).maps[0].faithfulness == pytest.approx(
        classifier.faithfulness([pixels], [prediction])[0], abs=2e-5
    )


def test_the_same_pixels_give_the_same_explanation(classifier, one_crop):
    """Pictures and figures, LIME too."""
    one, two = (explain(classifier, one_crop, lime=True, lime_samples=16) for _ in range(2))
    for first, second in zip(one.maps, two.maps, strict=True):
        assert (first.status, first.faithfulness, first.details) == (second.status, second.faithfulness, second.details)
        assert np.array_equal(first.picture, second.picture)


def test_read_only_pixels_are_explained(classifier, pixels):
    """As they come from a decoder process."""
    for array in (pixels.crops, pixels.view, pixels.thumb):
        array.flags.writeable = False
    assert explain(classifier, pixels).maps


def test_a_class_that_the_model_does_not_have_is_said_with_those_it_has(classifier, pixels):
    """A typing error, most likely."""
    with pytest.raises(UsageError, match="flx") as caught:
        explain(classifier, pixels, target="flx")
    assert "dalle3, flux, real" in caught.value.why


def test_a_branch_without_attention_is_unavailable_and_the_others_are_not(tiny_config, tiny_meta, pixels):
    """A checkpoint may have a CNN for its whole view."""
    config = tiny_config.model_copy(update={"vit": Backbone(name="test_efficientnet")})
    torch.manual_seed(2)
    meta = tiny_meta.model_copy(update={"config": config})
    classifier = EnsembleClassifier(build(config), meta, "0" * 64, device=torch.device("cpu"))
    statuses = {one.part: one.status for one in explain(classifier, pixels).maps}
    assert statuses["vit"] == "unavailable"
    assert statuses["fft"] == "shown"
