import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError
from training.thresholds import decision_rule, upper_quantile


@pytest.mark.parametrize(("n", "rate", "rank"), [(19, 0.05, 19), (39, 0.05, 38), (99, 0.1, 90), (10, 0.5, 6)])
def test_the_quantile_is_corrected_for_few_images(n, rate, rank):
    """The ceil((n + 1)(1 - a))-th smallest, not the n(1 - a)-th."""
    scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert upper_quantile(scores, rate, what="a rate") == rank


def test_too_few_images_cannot_promise_a_low_rate():
    """Eighteen photographs for 5 %, and the remedy says how many it takes."""
    with pytest.raises(UsageError, match=r"18 images are too few for a false-positive rate of 0\.05") as caught:
        upper_quantile(np.arange(18.0), 0.05, what="a false-positive rate")
    assert "from 19 images on" in caught.value.why


@settings(deadline=None, max_examples=30)
@given(st.integers(19, 120), st.sampled_from([0.05, 0.1, 0.2]), st.integers(0, 2**31))
def test_the_rate_holds_for_new_images(n, rate, seed):
    """Over many calibration sets, a new score lies over the threshold with at most the asked probability, and not far below it."""
    rng = np.random.default_rng(seed)
    draws = rng.normal(size=(2000, n + 1))
    thresholds = np.sort(draws[:, :n])[:, int(np.ceil((n + 1) * (1 - rate) - 1e-9)) - 1]
    assert thresholds[0] == upper_quantile(draws[0, :n], rate, what="a rate")
    over = (draws[:, n] > thresholds).mean()
    noise = 4 * np.sqrt(rate * (1 - rate) / 2000)
    assert rate - 1 / (n + 1) - noise <= over <= rate + noise


def rule_of(real, generated, fpr=0.05, fnr=0.05):
    p_ai = np.array([*real, *generated])
    is_ai = np.arange(len(p_ai)) >= len(real)
    return decision_rule(p_ai, is_ai, false_positive_rate=fpr, false_negative_rate=fnr)


def test_overlapping_evidence_leaves_a_band_open():
    """Photographs up to .6, generated images down to .3: between them nothing is said."""
    rule = rule_of(np.linspace(0, 0.6, 39), np.linspace(0.3, 1, 39))
    assert 0.57 < rule.ai_from < 0.6
    assert 0.3 < rule.real_to < 0.33
    assert (rule.reals, rule.generated) == (39, 39)


def test_where_no_band_is_needed_one_threshold_lies_halfway():
    """Photographs up to .2, generated images from .8 on."""
    rule = rule_of(np.linspace(0, 0.2, 39), np.linspace(0.8, 1, 39))
    assert rule.ai_from == rule.real_to == pytest.approx(0.5, abs=0.01)


def test_no_image_is_called_what_it_probably_is_not():
    """Photographs up to .3 and generated images from .9 on: at .55 an image is more likely AI, so it is not called real, and the other way round."""
    assert rule_of(np.linspace(0, 0.3, 39), np.linspace(0.9, 1, 39)).real_to == 0.5
    assert rule_of(np.linspace(0, 0.1, 39), np.linspace(0.7, 1, 39)).ai_from == 0.5


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 0.999), min_size=19, max_size=60),
    st.lists(st.floats(0.001, 1), min_size=19, max_size=60),
)
def test_the_rule_keeps_both_rates_on_its_own_images(real, generated):
    """Equal scores fall on the safe side of both thresholds."""
    rule = rule_of(real, generated)
    assert np.mean(np.array(real) >= rule.ai_from) <= 0.05
    assert np.mean(np.array(generated) <= rule.real_to) <= 0.05
    assert rule.real_to <= rule.ai_from


def test_photographs_that_are_surely_ai_leave_no_threshold():
    """A tenth of the photographs have all evidence against them: no threshold accuses only a twentieth."""
    with pytest.raises(UsageError, match="no threshold"):
        rule_of([*[0.1] * 36, *[1.0] * 4], [0.9] * 40)


def test_generated_images_that_are_surely_real_leave_no_threshold():
    """The same on the other side."""
    with pytest.raises(UsageError, match="no threshold"):
        rule_of([0.1] * 40, [*[0.9] * 36, *[0.0] * 4])
