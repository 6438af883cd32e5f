"""Profiles of how a model answers, counted without favour."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.abstention import Abstention, DecisionRule, NoveltyRule
from model.answer_cells import cell_count, cells_of
from model.checkpoint_meta import CheckpointMeta
from model.config import EnsembleConfig, Temperatures
from training.params import CalibrateParams
from training.profile import cross_fitted_profile, measured_profile, prior_of
from training.scores import Answers, Rows
from training.served import Image

CLASSES = ("real", "dalle3", "flux")
PARAMS = CalibrateParams()


def answers(labels, *, logits=None, novelty=None, units=None, condition="laundered"):
    """One crop an image; logits that favour the true class."""
    labels = np.asarray(labels)
    count = len(labels)
    rng = np.random.default_rng(count)
    images = tuple(
        Image(None, f"{n}.png", int(label), units[n] if units else f"unit-{n}") for n, label in enumerate(labels)
    )
    if logits is None:
        logits = rng.normal(size=(count, 3)) + 2 * np.eye(3)[labels]
    rows = {"fused": Rows(np.asarray(logits, float), np.arange(count))}
    novelty = rng.normal(size=count) if novelty is None else np.asarray(novelty, float)
    return Answers(CLASSES, condition, images, (), rows, novelty=novelty)


def meta(answered):
    """A calibrated checkpoint's, with the profile of those answers."""
    rules = Abstention(
        fitted_on="laundered",
        decision=DecisionRule(
            ai_from=0.5, real_to=0.5, false_positive_rate=0, false_negative_rate=0, reals=1, generated=1
        ),
        novelty=NoveltyRule(method="m", threshold=1.0, false_rejection_rate=0.05, images=60),
    )
    bare = CheckpointMeta(
        version="1",
        kind="trained",
        config=EnsembleConfig(classes=CLASSES),
        temperatures=Temperatures(fused=2.0),
        abstention=rules,
        preprocess_id="crops1-224-native-v1",
        training_data="noise",
    )
    profile = cross_fitted_profile(answered, bare.calibration_id, PARAMS)
    return bare.model_copy(update={"profile": profile})


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(20, 60)] * 3), st.booleans())
def test_every_image_is_counted_once_under_its_true_class(counts, shift):
    """Whatever the mix; the prior is that mix."""
    calibration = answers(np.repeat([0, 1, 2], counts))
    profile = cross_fitted_profile(calibration, "c", CalibrateParams(real_logit_shift=shift))
    assert [sum(profile.cells[name]) for name in CLASSES] == list(counts)
    assert {len(row) for row in profile.cells.values()} == {cell_count(3)}
    assert profile.prior == pytest.approx(np.array(counts) / sum(counts))
    assert (profile.classes, profile.calibration_id) == (CLASSES, "c")


def test_the_order_of_the_images_does_not_matter():
    """Folds hang on the names of the units."""
    calibration = answers(np.repeat([0, 1, 2], 30))
    turned = replace(
        calibration,
        images=calibration.images[::-1],
        branches={"fused": Rows(calibration.branches["fused"].logits[::-1], np.arange(90))},
        novelty=calibration.novelty[::-1],
    )
    assert cross_fitted_profile(turned, "c", PARAMS) == cross_fitted_profile(calibration, "c", PARAMS)


def test_no_image_is_judged_by_a_threshold_that_it_moved():
    """Three units of ten twins, and no twin is a surprise once another is known. Each unit by itself is one: in its fold, all ten are novel.

    Had the threshold been fitted on all sixty, at most three of them could be.
    """
    units = [f"unit-{n}" for n in range(60)] + [f"twins-{n // 10}" for n in range(30)]
    novelty = [*np.linspace(0, 1, 60), *np.repeat([5.0, 6.0, 7.0], 10)]
    profile = cross_fitted_profile(answers([0, 1, 2] * 30, novelty=novelty, units=units), "c", PARAMS)
    novel = sum(sum(row[1::2]) for row in profile.cells.values())
    assert novel >= 10


def test_the_rate_of_novel_images_is_the_one_that_was_asked_for():
    """Cross-fitted, on average over many calibrations: 5 % of 200, and not the few less that fitting on the same images gives."""
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], [70, 65, 65])
    shares = []
    for _ in range(60):
        part = answers(labels, novelty=rng.normal(size=200))
        profile = cross_fitted_profile(part, "c", PARAMS)
        shares.append(sum(sum(row[1::2]) for row in profile.cells.values()) / 200)
    assert np.mean(shares) == pytest.approx(0.05, abs=0.006)


def test_too_few_for_the_rate_without_a_fold_are_held_against_the_highest():
    """25 images can promise 4 %, 20 cannot."""
    profile = cross_fitted_profile(answers([0, 1, 2] * 8 + [0]), "c", CalibrateParams(false_rejection_rate=0.04))
    assert sum(map(sum, profile.cells.values())) == 25


def test_test_images_are_counted_by_the_checkpoint_s_own_rules():
    """Cell by cell, with the prior of the calibration and not of the test."""
    facts = meta(answers(np.repeat([0, 1, 2], [30, 20, 50])))
    test = answers(np.repeat([0, 1, 2], [8, 8, 9]), novelty=[2.0] * 10 + [0.0] * 15)
    profile = measured_profile(test, facts)
    assert profile.prior == (0.3, 0.2, 0.5)
    assert profile.calibration_id == facts.calibration_id
    cells = cells_of(test.probs(Temperatures(fused=2.0)), np.arange(25) < 10)
    assert profile.cells["real"] == tuple(np.bincount(cells[:8], minlength=cell_count(3)).tolist())
    assert sum(sum(row[1::2]) for row in profile.cells.values()) == 10


@pytest.mark.parametrize(
    "change",
    [
        {"meta": {"profile": None}},
        {"meta": {"abstention": None}},
        {"condition": "clean"},
        {"labels": [0] * 9 + [2] * 9},
        {"novelty": None},
    ],
    ids=["no prior", "no rules", "arrived otherwise", "a class is missing", "no score"],
)
def test_without_what_it_rests_on_there_is_no_measured_profile(change):
    """Rather none than one that means something else."""
    facts = meta(answers(np.repeat([0, 1, 2], 30))).model_copy(update=change.get("meta", {}))
    test = answers(change.get("labels", [0, 1, 2] * 6), condition=change.get("condition", "laundered"))
    if "novelty" in change:
        test = replace(test, novelty=None)
    assert measured_profile(test, facts) is None


def test_the_prior_is_the_share_of_each_class():
    """By hand."""
    assert prior_of(answers([0, 1, 2, 2])) == (0.25, 0.25, 0.5)
