"""The guard of the correction: it lets known classes pass in any mix, and stops what is none of them."""

import numpy as np
import pytest
from support.simulated_answers import SimulatedModel

from streams.drift.goodness import Compared, goodness
from streams.drift.prevalence import correct

MODEL = SimulatedModel()


def status_of(seed: int, images: int, *, model=MODEL, profile_images=400, **mix) -> str:
    """The status of one simulated window; its profile is of `MODEL`."""
    rng = np.random.default_rng(seed)
    profile = MODEL.profile(rng, profile_images)
    return correct(
        [model.draw(rng, images, **mix).answers()], {"sim": profile}, min_images=1, seed=seed
    ).correction.status


@pytest.mark.parametrize("ai", [0.0, 0.02, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("images", [300, 4000])
def test_a_mix_of_known_classes_passes(images, ai) -> None:
    """Label shift, however large, is what the correction is for."""
    assert [status_of(seed, images, ai=ai) for seed in range(10)].count("ok") >= 9


def test_a_generator_nobody_knows_voids() -> None:
    """A fifth of the images from a generator that the model was not taught: no mix of known classes answers so."""
    assert [status_of(seed, 1000, ai=0.1, unknown=0.2) for seed in range(10)] == ["void"] * 10


def test_other_delivery_voids() -> None:
    """Images that became harder to tell than those of the calibration void it as well, though all classes are known."""
    harder = SimulatedModel(separation=1.4)
    assert [status_of(seed, 2000, model=harder, ai=0.3) for seed in range(5)] == ["void"] * 5


def test_a_small_profile_vouches_for_nothing_and_may_still_void() -> None:
    """With 40 images a class the test sees little: what passes it is unguarded, what fails it is void."""
    assert {status_of(seed, 1000, profile_images=40, ai=0.1) for seed in range(5)} == {"unguarded"}
    assert status_of(1, 1000, profile_images=40, ai=0.1, unknown=0.8) == "void"


def test_the_reason_has_the_size_of_it() -> None:
    """A void correction says how much of the window does not fit."""
    rng = np.random.default_rng(1)
    profile = MODEL.profile(rng)
    drawn = MODEL.draw(rng, 1000, ai=0.1, unknown=0.3)
    correction = correct([drawn.answers()], {"sim": profile}, min_images=1, seed=1).correction
    assert correction.reason is not None
    assert "look like no mix of the known classes" in correction.reason
    assert correction.goodness is not None
    assert correction.goodness.p_value < 1e-3
    assert (correction.shares, correction.ai) == (None, None)


def test_a_flaw_too_small_to_matter_voids_nothing() -> None:
    """With a million images on both sides one percent is significant, and still no reason to withhold the shares."""
    profile = np.array([[500_000, 0, 500_000, 0], [0, 0, 0, 0]])
    fit = goodness([Compared(np.array([510_000, 0, 490_000, 0]), profile)], np.array([1.0, 0.0]))
    assert fit is not None
    assert fit.test.p_value < 1e-6
    assert fit.effect == pytest.approx(0.01, abs=0.001)
    assert fit.holds


def test_the_noise_of_the_profile_counts() -> None:
    """The same difference speaks against a profile of many images and not against one of few."""
    window = np.array([600, 0, 400, 0])
    few = goodness([Compared(window, np.array([[20, 0, 20, 0]]))], np.array([1.0]))
    many = goodness([Compared(window, np.array([[5000, 0, 5000, 0]]))], np.array([1.0]))
    assert few is not None
    assert many is not None
    assert (few.holds, many.holds) == (True, False)


def test_one_cell_leaves_nothing_to_compare() -> None:
    """Where all images are in one cell, or too few for two, there is no test."""
    assert goodness([Compared(np.array([3, 0, 1, 0]), np.array([[40, 0, 10, 0]]))], np.array([1.0])) is None


def test_what_the_profile_never_saw_speaks_against_the_mix() -> None:
    """Novel answers of which the calibration had none are not forgiven."""
    profile = np.array([[300, 0, 100, 0]])
    fit = goodness([Compared(np.array([600, 150, 200, 50]), profile)], np.array([1.0]))
    assert fit is not None
    assert not fit.holds


def test_without_answers_there_is_no_test() -> None:
    """No model, no fit."""
    assert goodness([], np.array([1.0])) is None
