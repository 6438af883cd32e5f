"""Candidates for a generator that the model was not taught: rejects that lie together, and more than known classes explain."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from model.answer_cells import cell_count
from model.embedding import packed, unpacked
from schemas.calibration import CalibrationProfile
from streams.drift.candidates import (
    USUAL,
    CandidateRules,
    KnownRate,
    Reject,
    candidates_of,
    explained,
    known_rate,
)

RULES = CandidateRules(min_images=20, min_cohesion=0.6)


def reject(number, place, *, nearest="flux", version="1"):
    return Reject(number, unpacked(packed(np.asarray(place, float))), nearest, "images", f"{number}.png", version)


def scattered(count, seed=0, first=0):
    """Rejects in all directions."""
    rng = np.random.default_rng(seed)
    return [reject(first + n, rng.normal(size=32), nearest="real") for n in range(count)]


def together(count, seed=1, first=1000, noise=0.15, **facts):
    """Rejects about one direction."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=32)
    return [reject(first + n, middle + noise * rng.normal(size=32), **facts) for n in range(count)]


def test_rejects_that_lie_together_are_a_candidate():
    """Its size, how close they lie, the five nearest to its middle, and the known class that most of them are nearest to."""
    rejects = scattered(40) + together(28) + together(2, seed=1, first=1028, nearest="real")
    (found,) = candidates_of(rejects, rules=RULES, images=500)
    assert (found.images, found.nearest, found.model_version) == (30, "flux", "1")
    assert found.cohesion > 0.95
    assert len(found.exemplars) == 5
    assert {one.fingerprint >= 1000 for one in found.exemplars} == {True}


def test_the_first_exemplar_is_the_nearest_to_the_middle():
    """What a reviewer looks at first is what the cluster is about."""
    place = np.eye(32)[0]
    ring = [reject(n, place + 0.4 * np.eye(32)[1 + n] * sign) for n in range(12) for sign in (1, -1)]
    rejects = [*ring, reject(99, place)]
    assert candidates_of(rejects, rules=RULES, images=100)[0].exemplars[0].fingerprint == 99


def test_rejects_in_all_directions_are_none():
    """However many: it is known images that look odd, or many things at once."""
    assert candidates_of(scattered(250), rules=RULES, images=500) == []


def test_too_few_are_none():
    """19 of 20, though they are one and the same."""
    assert candidates_of(together(19), rules=RULES, images=40) == []
    assert len(candidates_of(together(20), rules=RULES, images=40)) == 1


def test_as_many_as_known_classes_explain_are_none():
    """A class has rejects that lie together in any large window: 50 of 1,000 are what the threshold was set for."""
    rejects = scattered(25) + together(25)
    assert candidates_of(rejects, rules=RULES, images=1000) == []
    assert len(candidates_of(rejects, rules=RULES, images=250)) == 1


def test_a_model_that_rejects_much_of_what_it_knows_needs_more():
    """The rate comes from its profile."""
    rejects = scattered(25) + together(25)
    assert len(candidates_of(rejects, rules=RULES, images=250, known=KnownRate(10, 190))) == 1
    assert candidates_of(rejects, rules=RULES, images=250, known=KnownRate(40, 160)) == []


def test_a_sample_stands_for_the_whole_window():
    """60 rejects kept of 600: it is the 600 of 2,000 that known classes do not explain."""
    rejects = scattered(30) + together(30)
    assert len(candidates_of(rejects, rules=RULES, images=2000, rejected=600)) == 1
    assert candidates_of(rejects, rules=RULES, images=2000) == []


def test_two_generators_are_two_candidates_and_the_larger_is_first():
    """Each with its own exemplars."""
    rejects = together(40, seed=1) + together(30, seed=2, first=2000, nearest="dalle3")
    larger, smaller = candidates_of(rejects, rules=RULES, images=150)
    assert (larger.images, larger.nearest, smaller.images, smaller.nearest) == (40, "flux", 30, "dalle3")


def test_a_small_cluster_that_the_large_one_leaves_explained_is_none():
    """Without the 200 the window is like any other, and 20 odd photographs in a thousand are no generator."""
    rejects = together(200, seed=1) + together(20, seed=2, first=2000, nearest="real")
    assert [one.images for one in candidates_of(rejects, rules=RULES, images=1000)] == [200]


def test_images_of_two_models_are_not_compared():
    """Their bytes mean different directions: 15 of each are not 30."""
    rejects = together(15, version="1") + together(15, first=2000, version="2")
    assert candidates_of(rejects, rules=RULES, images=100) == []


def test_a_repeat_counts_once():
    """The same outcome read again is no further image."""
    assert candidates_of(together(19) + together(19), rules=RULES, images=60) == []


def test_images_without_a_direction_and_bytes_of_another_length_are_no_cluster():
    """The middle itself is like nothing, and an embedding from elsewhere may be of any length."""
    middle = [reject(n, np.zeros(32)) for n in range(30)]
    short = [replace(one, embedding=b"\x01") for one in together(30)]
    assert candidates_of(middle + short, rules=RULES, images=100) == []


def test_a_window_without_rejects_has_none():
    """The usual case."""
    assert candidates_of([], rules=RULES, images=1000) == []


def test_a_cluster_whose_images_are_nearest_to_nothing_has_no_nearest_class():
    """Verdicts of a model that does not say it."""
    assert candidates_of(together(30, nearest=None), rules=RULES, images=60)[0].nearest is None


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 60), st.integers(0, 40), st.integers(0, 30))
def test_the_order_of_the_rejects_does_not_matter(random, apart, first, second):
    """Nor who is a member twice: a recount from the topic finds the same."""
    rejects = scattered(apart, seed=3) + together(first, seed=4, noise=0.7)
    rejects += together(second, seed=5, first=3000, noise=0.5)
    shuffled = rejects * 2
    random.shuffle(shuffled)
    expected = candidates_of(rejects, rules=RULES, images=150)
    assert candidates_of(shuffled, rules=RULES, images=150, rejected=len(rejects)) == expected


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 80),
    st.floats(0.0, 3.0),
    st.integers(2, 30),
    st.floats(0.2, 0.95),
)
def test_what_is_found_keeps_the_rules(seed, count, noise, least, cohesion):
    """Enough members, close enough, and no image in two clusters."""
    rejects = together(count, seed=seed, noise=noise) + scattered(count, seed=seed + 1)
    rules = CandidateRules(min_images=least, min_cohesion=cohesion)
    found = candidates_of(rejects, rules=rules, images=2 * count)
    assert all(one.images >= least and cohesion <= one.cohesion <= 1 + 1e-9 for one in found)
    assert sum(one.images for one in found) <= len(rejects)
    shown = [example.fingerprint for one in found for example in one.exemplars]
    assert len(shown) == len(set(shown))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.floats(0, 1), st.floats(0.5, 300), st.floats(0.5, 3000))
def test_what_known_classes_explain_is_the_tail_of_the_beta_binomial(images, share, a, b):
    """Against scipy, which the worker does without."""
    rejected = round(share * images)
    expected = betabinom(images, a, b).sf(rejected - 1)
    assert explained(rejected, images, KnownRate(a, b)) == pytest.approx(expected, abs=1e-7)


def test_nothing_rejected_is_explained_and_more_than_there_are_is_not():
    """The ends, and counts that cannot be."""
    assert explained(0, 100) == 1.0
    assert explained(0, 0) == 1.0
    assert explained(101, 100) == 0.0
    assert explained(100, 100) < 1e-6


def profile(*rejected_of):
    """Classes a, b, ... with so many novel of so many images."""
    names = tuple("abcdef"[: len(rejected_of)])
    cells = {
        name: (count - novel, novel, *[0] * (cell_count(len(names)) - 2))
        for name, (novel, count) in zip(names, rejected_of, strict=True)
    }
    return CalibrationProfile(calibration_id="c", classes=names, prior=(1 / len(names),) * len(names), cells=cells)


def test_the_rate_of_one_class_is_its_own_and_a_little_of_all():
    """3 of 40 and 10 images at 13.5 of 81, by hand."""
    rate = known_rate(profile((3, 40), (10, 40)), {"a": 1.0})
    assert (rate.a, rate.b) == pytest.approx((3 + 10 / 6, 37 + 50 / 6))


def test_many_classes_do_not_make_the_rate_higher():
    """Six classes of 20 images, one novel of each: 5 %, as if they were one class of 120."""
    rate = known_rate(profile(*[(1, 20)] * 6))
    assert rate.mean == pytest.approx(0.05, abs=0.002)
    assert rate.a + rate.b == pytest.approx(121)


def test_the_rate_follows_the_mix_of_the_window():
    """Mostly photographs, mostly their rate; a name that the model does not know weighs nothing."""
    known = profile((10, 1000), (300, 1000))
    assert known_rate(known, {"a": 0.98, "b": 0.02, "unknown_generator": 5.0}).mean == pytest.approx(0.017, abs=0.002)
    assert known_rate(known, {"a": 0.02, "b": 0.98}).mean == pytest.approx(0.293, abs=0.003)


@pytest.mark.parametrize("mix", [None, {}, {"unknown_generator": 1.0}, {"a": 0.0, "b": 0.0}])
def test_without_a_mix_the_calibration_s_own_is_taken(mix):
    """Even, here."""
    assert known_rate(profile((1, 99), (29, 99)), mix).mean == pytest.approx(30 / 198, abs=0.001)


def test_more_calibration_images_make_the_rate_surer():
    """So that fewer rejects are a surprise: 90 of 1,000 are none after 200 images, and one after 20,000."""
    small, large = known_rate(profile((5, 100), (5, 100))), known_rate(profile((500, 10000), (500, 10000)))
    assert explained(90, 1000, small) > 0.01
    assert explained(90, 1000, large) < 1e-6


def test_without_a_profile_the_usual_rate_is_taken():
    """5 % of 200."""
    assert known_rate(None, {"a": 1.0}) == USUAL
    assert USUAL.mean == pytest.approx(0.052, abs=0.001)
