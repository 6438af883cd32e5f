"""Corrected shares: what they are near, what they do not depend on, and when there are none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.simulated_answers import CLASSES, REAL_AT, SimulatedModel

from schemas.window import Correction
from streams.drift.answers import Answers
from streams.drift.mixing import likelihoods, log_likelihood, most_likely_shares
from streams.drift.prevalence import correct

MODEL = SimulatedModel()
EVEN = (0.5, 0.5)


def answers(probs: list[list[float]], *, classes=("flux", "real"), prior=EVEN, calibration_id="m1") -> Answers:
    """Answers of known images with these probabilities."""
    return Answers(classes, prior, calibration_id, np.array(probs), np.zeros(len(probs), bool))


def corrected(*given_answers: Answers, profiles=None, min_images=1, seed=1) -> Correction:
    """The correction alone."""
    return correct(given_answers, profiles or {}, min_images=min_images, seed=seed).correction


def test_certain_answers_are_counted() -> None:
    """Where every probability is 0 or 1 there is nothing to correct."""
    correction = corrected(answers([[1.0, 0.0]] * 30 + [[0.0, 1.0]] * 70))
    assert correction.ai is not None
    assert correction.ai.value == pytest.approx(0.3, abs=1e-3)
    assert correction.ai.low == pytest.approx(0.22, abs=0.02)
    assert correction.ai.high == pytest.approx(0.39, abs=0.02)


def test_at_the_fixed_point_the_shares_are_the_mean_of_the_corrected_probabilities() -> None:
    """The equation of Saerens et al. (2002): w_c is the mean of w_c p_c / prior_c over its sum."""
    probs, prior = np.array([[0.8, 0.2], [0.3, 0.7], [0.1, 0.9], [0.25, 0.75]]), np.array([0.4, 0.6])
    shares = most_likely_shares(likelihoods([answers(probs.tolist(), prior=(0.4, 0.6))]), np.array(EVEN))
    weighed = shares * probs / prior
    assert shares == pytest.approx((weighed / weighed.sum(axis=1, keepdims=True)).mean(axis=0), abs=2e-3)


def test_the_prior_matters() -> None:
    """A probability of 0.6 is evidence for a class that was rare in calibration, and against one that was common."""
    probs = [[0.6, 0.4]] * 50
    rare, common = corrected(answers(probs, prior=(0.1, 0.9))), corrected(answers(probs, prior=(0.9, 0.1)))
    assert rare.shares is not None
    assert common.shares is not None
    assert (rare.shares["flux"].value, common.shares["flux"].value) == (1.0, 0.0)


def test_two_percent_is_seen_as_two_percent() -> None:
    """Where the argmax counts 14 % AI, the corrected share is the true 2 %."""
    drawn = MODEL.draw(np.random.default_rng(3), 20_000, ai=0.02)
    correction = corrected(drawn.answers())
    raw = 1 - (drawn.probs.argmax(axis=1) == REAL_AT).mean()
    assert correction.ai is not None
    assert raw == pytest.approx(0.14, abs=0.01)
    assert correction.ai.value == pytest.approx(0.02, abs=0.005)


@pytest.mark.parametrize("ai", [0.02, 0.10])
def test_intervals_cover(ai) -> None:
    """At least 90 % of windows of 400 images are covered by their 95 % intervals, for AI and for each class."""
    rng, windows = np.random.default_rng(5), 200
    hits = np.zeros(len(CLASSES) + 1)
    for seed in range(windows):
        found = corrected(MODEL.draw(rng, 400, ai=ai).answers(), seed=seed)
        assert found.shares is not None
        assert found.ai is not None
        truth = dict.fromkeys(CLASSES, ai / 4) | {"real": 1 - ai}
        hits += [found.shares[name].low <= truth[name] <= found.shares[name].high for name in CLASSES] + [
            found.ai.low <= ai <= found.ai.high
        ]
    assert hits.min() / windows >= 0.9


def test_a_class_that_is_not_there_may_have_no_share() -> None:
    """Its interval begins at 0, and does not pretend that there must be some."""
    correction = corrected(MODEL.draw(np.random.default_rng(1), 500, ai=0.0).answers())
    assert correction.shares is not None
    assert correction.ai is not None
    assert [correction.shares[name].low for name in CLASSES if name != "real"] == [0, 0, 0, 0]
    assert correction.ai.low == 0
    assert correction.shares["real"].high == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 7]), st.floats(0.05, 3))
def test_shares_are_shares(seed, classes, spread) -> None:
    """Whatever the answers: shares and draws sum to 1, and every value lies in its interval within [0, 1]."""
    rng = np.random.default_rng(seed)
    names = (*(f"g{i}" for i in range(classes - 1)), "real")
    probs = rng.dirichlet(np.full(classes, spread), 120)
    prior = rng.dirichlet(np.full(classes, 5.0))
    found = correct([Answers(names, tuple(prior.tolist()), "m1", probs, np.zeros(120, bool))], {}, min_images=1, seed=1)
    shares = found.correction.shares
    assert shares is not None
    assert found.draws is not None
    assert sum(one.value for one in shares.values()) == pytest.approx(1, abs=1e-5)
    assert found.draws.sum(axis=1) == pytest.approx(np.ones(len(found.draws)))
    assert all(0 <= one.low <= one.value <= one.high <= 1 for one in shares.values())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_shares_are_likelier(seed) -> None:
    """What is returned is the maximum: random shares nearby and far away are no likelier."""
    rng = np.random.default_rng(seed)
    ratios = likelihoods([MODEL.draw(rng, 300, ai=0.1).answers()])
    best = most_likely_shares(ratios, np.full(5, 0.2))
    reached = log_likelihood(ratios, best)
    others = np.concatenate([rng.dirichlet(500 * best + 0.1, 20), rng.dirichlet(np.ones(5), 20)])
    assert all(log_likelihood(ratios, one) <= reached + 1e-4 for one in others)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_sample_of_the_training_mix_stays_near_it(seed) -> None:
    """Where nothing has shifted, the correction moves the shares by no more than the sample does."""
    found = corrected(MODEL.draw(np.random.default_rng(seed), 3000, ai=0.8).answers())
    assert found.shares is not None
    assert all(one.value == pytest.approx(0.2, abs=0.06) for one in found.shares.values())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.randoms())
def test_the_order_of_images_and_models_changes_nothing(seed, random) -> None:
    """An offline recount, which sees them in another order, arrives at the same figures to the last digit."""
    drawn = MODEL.draw(np.random.default_rng(seed), 200, ai=0.1)
    order = list(range(200))
    random.shuffle(order)
    shuffled = type(drawn)(drawn.truth[order], drawn.probs[order], drawn.novel[order], drawn.embeddings[order])
    other = MODEL.draw(np.random.default_rng(7), 50, ai=0.1).answers("other")
    assert correct([drawn.answers(), other], {}, min_images=1, seed=1).correction == (
        correct([other, shuffled.answers()], {}, min_images=1, seed=1).correction
    )


def test_the_names_of_the_classes_follow_their_columns() -> None:
    """With columns exchanged the shares are exchanged with them, up to the noise of the draws."""
    drawn = MODEL.draw(np.random.default_rng(2), 600, ai=0.3).answers()
    turned = Answers(drawn.classes[::-1], drawn.prior, "sim", drawn.probs[:, ::-1], drawn.novel)
    one, other = corrected(drawn).shares, corrected(turned).shares
    assert one is not None
    assert other is not None
    assert {name: other[name].value for name in CLASSES} == pytest.approx(
        {name: one[name].value for name in CLASSES}, abs=1e-3
    )


def test_models_of_one_class_list_are_taken_together() -> None:
    """Half of a window judged by one model and half by another, of other prior, count as one window."""
    drawn = MODEL.draw(np.random.default_rng(4), 4000, ai=0.1)
    one, other = drawn.part(slice(2000)).answers("one"), drawn.part(slice(2000, 4000)).answers("other")
    prior = np.array([0.1, 0.1, 0.1, 0.6, 0.1])
    told = other.probs * prior
    other = Answers(CLASSES, tuple(prior), "other", told / told.sum(axis=1, keepdims=True), other.novel)
    together, alone = corrected(one, other), corrected(drawn.answers())
    assert together.ai is not None
    assert alone.ai is not None
    assert together.calibration_ids == ("one", "other")
    assert together.images == 4000
    assert together.ai.value == pytest.approx(alone.ai.value, abs=1e-3)


def test_models_of_different_classes_have_no_common_shares() -> None:
    """The correction is void, with the reason."""
    correction = corrected(
        answers([[0.5, 0.5]]), answers([[0.5, 0.5]], classes=("dalle3", "real"), calibration_id="m2")
    )
    assert (correction.status, correction.shares) == ("void", None)
    assert correction.reason == "the models of this window have different classes"


def test_a_model_without_real_has_no_correction() -> None:
    """There is no AI share where nothing is said to be real."""
    assert corrected(answers([[0.5, 0.5]], classes=("dalle3", "flux"))).status == "void"


@pytest.mark.parametrize("images", [0, 9])
def test_too_few_images_say_so(images) -> None:
    """Below the least number there are no shares, and no error."""
    correction = corrected(answers([[0.5, 0.5]] * images) if images else answers([[1.0, 0.0]]), min_images=10)
    assert (correction.status, correction.shares, correction.ai) == ("too_few", None, None)


def test_an_empty_window_says_so() -> None:
    """A window without any answers has too few, even where none are asked for."""
    assert correct([], {}, min_images=0, seed=1).correction == Correction(status="too_few")


def test_without_a_profile_nothing_vouches_for_the_shares() -> None:
    """They are given, and called unguarded."""
    correction = corrected(answers([[0.2, 0.8]] * 200))
    assert (correction.status, correction.goodness) == ("unguarded", None)
    assert correction.reason == "no calibration profile of m1 is known"


def test_a_profile_of_other_classes_is_no_profile() -> None:
    """It is not compared with, and the reason says so."""
    profile = MODEL.profile(np.random.default_rng(1), 50, calibration_id="m1")
    correction = corrected(answers([[0.2, 0.8]] * 200), profiles={"m1": profile})
    assert correction.status == "unguarded"
    assert correction.reason == "the calibration profile of m1 is of other classes or cells"


def test_one_untested_model_leaves_the_window_unguarded() -> None:
    """A profile of one of two models tests its half only."""
    rng = np.random.default_rng(1)
    parts = [MODEL.draw(rng, 500, ai=0.1).answers(name) for name in ("one", "other")]
    correction = corrected(*parts, profiles={"one": MODEL.profile(rng, calibration_id="one")})
    assert correction.status == "unguarded"
    assert correction.goodness is not None


def test_answers_that_say_nothing_leave_everything_possible() -> None:
    """Probabilities equal to the prior give an interval of AI nearly as wide as can be."""
    correction = corrected(answers([[0.5, 0.5]] * 300))
    assert correction.ai is not None
    assert correction.ai.low < 0.05
    assert correction.ai.high > 0.95


def test_likelihoods_have_an_order_of_their_own() -> None:
    """Rows come out alike however the images came in: sums over them are then equal to the last bit, on any day."""
    drawn = MODEL.draw(np.random.default_rng(1), 100, ai=0.5).answers()
    turned = Answers(drawn.classes, drawn.prior, "sim", drawn.probs[::-1], drawn.novel[::-1])
    assert (likelihoods([drawn]) == likelihoods([turned])).all()
