from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

from model.config import Backbone, EnsembleConfig
from model.embedding import signs
from model.network import build
from schemas.errors import UsageError
from training.metrics import auroc
from training.open_set import fit_landmarks, fit_open_set, novelty_rule, shrunk_covariance
from training.scores import Answers, Rows
from training.served import Image

CLASSES = ("real", "flux")


def answers(logits, labels):
    """One crop an image."""
    images = tuple(Image(None, f"{number}", int(label), f"{number}") for number, label in enumerate(labels))
    rows = {"fused": Rows(np.asarray(logits, float), np.arange(len(labels)))}
    return Answers(CLASSES, "laundered", images, (), rows)


def two_classes(n=200, seed=0):
    """Class 0 round (4, -4), class 1 round (-4, 4), with spreads of their own."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], n)
    spread = np.array([[0.5, 1.5], [1.0, 0.3]])[labels]
    return np.array([[4.0, -4.0], [-4.0, 4.0]])[labels] + spread * rng.normal(size=(2 * n, 2)), labels


def test_shrinkage_is_ledoit_and_wolfs():
    """Few rows and many, against scikit-learn."""
    for count in (5, 12, 400):
        rows = np.random.default_rng(count).normal(size=(count, 8)) @ np.random.default_rng(1).normal(size=(8, 8))
        rows -= rows.mean(0)
        assert shrunk_covariance(rows) == pytest.approx(ledoit_wolf(rows, assume_centered=True)[0])


def test_places_are_centred_and_whitened_by_how_a_class_scatters():
    """Two classes that scatter along one axis a hundred times as far as along the others: in the places, no axis stands out."""
    torch.manual_seed(2)
    network = build(
        EnsembleConfig(
            classes=CLASSES,
            cnn=Backbone(name="test_efficientnet"),
            vit=Backbone(name="test_vit", kwargs={"img_size": 224}),
            hidden=(24, 12),
        )
    )
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 200)
    joint = rng.normal(size=(400, sum(network.widths.values()))).astype(np.float32)
    joint[:, 0] *= 100
    part = replace(answers(np.zeros((400, 2)), labels), joint=joint)
    landmarks = fit_landmarks(network, [part])
    with torch.inference_mode():
        hidden = network.hidden(torch.from_numpy(joint))
        places = landmarks.place(hidden).numpy()
    assert np.abs(places.mean(0)).max() < 1e-3
    held = places - np.stack([places[labels == label].mean(0) for label in (0, 1)])[labels]
    values = np.linalg.eigvalsh(held.T @ held / 400)[-12:]  # 12 features give 12 directions among the 32
    raw = np.linalg.eigvalsh(np.cov((hidden.numpy() @ signs(12)).T))[-12:]
    assert values.max() / values.min() < 12 < raw.max() / raw.min()


def test_the_score_is_the_negative_log_density_of_the_mixture():
    """Against scipy's Gaussians with the fitted means and covariances."""
    logits, labels = two_classes()
    open_set = fit_open_set([answers(logits, labels)])
    density = 0.0
    for label in (0, 1):
        own = logits[labels == label]
        centred = own - own.mean(0)
        density += multivariate_normal(own.mean(0), shrunk_covariance(centred)).pdf(logits[::7]) / 2
    assert open_set.score(torch.from_numpy(logits[::7])).numpy() == pytest.approx(-np.log(density), rel=1e-3, abs=1e-3)


def test_each_condition_has_gaussians_of_its_own():
    """Clean images that lie apart from the laundered ones are known too, and what lies between them less."""
    logits, labels = two_classes()
    open_set = fit_open_set([answers(logits, labels), answers(3 * logits, labels)])
    near, far, between = open_set.score(torch.tensor([[4.0, -4.0], [12.0, -12.0], [8.0, -8.0]])).tolist()
    assert max(near, far) < between


def test_a_known_generator_s_traces_only_stronger_are_novel():
    """The case that maximum probability gets wrong: surer than any known image, and like none of them."""
    logits, labels = two_classes()
    open_set = fit_open_set([answers(logits, labels)])
    strangers = np.random.default_rng(5).normal([-9.0, 9.0], 0.5, (200, 2))
    rows = np.concatenate([logits, strangers])
    unknown = np.arange(len(rows)) >= len(logits)
    powers = np.exp(rows - rows.max(1, keepdims=True))
    least_sure = 1 - (powers / powers.sum(1, keepdims=True)).max(1)
    assert auroc(open_set.score(torch.from_numpy(rows)).numpy(), unknown) > 0.99
    assert auroc(least_sure, unknown) < 0.1


def test_logits_that_never_move_apart_give_finite_scores():
    """A dead output has no variance: the floor keeps the distance from being infinite."""
    logits, labels = two_classes()
    logits[:, 1] = 0
    assert np.isfinite(fit_open_set([answers(logits, labels)]).score(torch.tensor([[0.0, 5.0]])).numpy()).all()


def test_too_few_images_of_a_class_are_refused():
    """Nine of flux."""
    logits, labels = two_classes(10)
    with pytest.raises(UsageError, match="9 training images of flux"):
        fit_open_set([answers(logits[:-1], labels[:-1])])


def test_the_threshold_rejects_what_was_asked():
    """Ninety-nine known images at 5 %: four of them lie over it, and it says on how many it rests."""
    novelty = np.random.default_rng(0).normal(size=99)
    rule = novelty_rule(novelty, 0.05)
    assert (novelty > rule.threshold).sum() == 4
    assert (rule.images, rule.method) == (99, "logit_density")
