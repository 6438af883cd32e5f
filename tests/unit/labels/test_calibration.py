"""Whether a calibration still holds, and what a refit would gain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.labels import label, labelled

from streams.labels.calibration import calibration_error, error_by_chance, findings, samples
from streams.labels.judging import Judged, Stated, Word, judge
from streams.labels.refit import fitted, losses, refit

CLASSES = ("flux", "midjourney", "real")
REAL = 2


def answers(n, *, temperature=1.0, shift=0.0, seed=1):
    """Probabilities that would be calibrated, but for a temperature and a shift of `real` that were left out, and the truth."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, len(CLASSES)))
    shifted = logits / temperature + shift * np.eye(len(CLASSES))[REAL]
    true = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (rng.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1)
    return probs, truth, np.arange(n)


def reviewed(n, **made):
    """Labelled verdicts over such answers, as reviewers who know the truth give them."""
    probs, truth, _ = answers(n, **made)
    for number, (row, index) in enumerate(zip(probs.round(6), truth, strict=True)):
        p_ai = 1 - row[REAL]
        says_ai = p_ai >= 0.5
        source = CLASSES[row[:REAL].argmax()] if says_ai else "real"
        name = CLASSES[index]
        said = Word("correct" if name == source else "incorrect", name)
        stated = Stated("ai_generated" if says_ai else "real", source, CLASSES)
        one = labelled(
            label(number, said.said, true_source=name),
            verdict=stated.verdict,
            predicted_source=source,
            confidence=max(p_ai, row[REAL]),
            classes=CLASSES,
            per_class_probs=dict(zip(CLASSES, row, strict=True)),
        )
        yield one, judge(stated, [said])


def found(*pairs, min_labels=200):
    return findings(samples(pairs), min_labels=min_labels)


def test_a_calibration_that_holds_is_left_alone():
    """Mean confidence lies in the interval of the accuracy, the error is what chance makes, and a refit gains nothing."""
    [finding] = found(*reviewed(1500))
    assert finding.holds
    assert finding.accuracy.low <= finding.mean_confidence <= finding.accuracy.high
    assert finding.ece <= finding.ece_by_chance
    assert finding.refit.temperature == pytest.approx(1, abs=0.15)
    assert not finding.is_proposed


def test_a_model_that_is_surer_than_it_is_right_gets_a_proposal():
    """With the temperature and the shift that were left out, nearly."""
    [finding] = found(*reviewed(2000, temperature=2.0, shift=0.7))
    assert not finding.holds
    assert finding.refit.temperature == pytest.approx(2.0, rel=0.15)
    assert finding.refit.real_logit_shift == pytest.approx(0.7, abs=0.2)
    assert finding.refit.nll_after < finding.refit.nll_before
    assert finding.is_proposed


def test_few_labels_say_nothing():
    """Only how many there are."""
    [finding] = found(*reviewed(60, temperature=4))
    assert finding.as_json() == {"calibration_id": "c", "versions": ("m-1",), "labelled": 60, "proposed": False}


def test_calibrations_are_not_mixed():
    """Each is held against its own labels, the one with the most first."""
    some = [(one.model_copy(update={"calibration_id": "d"}), judged) for one, judged in reviewed(300)]
    assert [(one.calibration_id, one.labelled) for one in found(*reviewed(250), *some)] == [("d", 300), ("c", 250)]


def test_another_mix_than_the_calibration_was_fitted_for_is_told():
    """Even, where the model does not say; a model that says so may have been fitted for what is seen."""
    pairs = list(reviewed(600, shift=2.5))
    [finding] = found(*pairs)
    assert finding.has_another_mix
    assert finding.photographs_before == pytest.approx(1 / 3, abs=1e-6)
    share = round(finding.photographs.value, 3)
    prior = ((1 - share) / 2, (1 - share) / 2, share)
    [finding] = found(*((one.model_copy(update={"prior": prior}), judged) for one, judged in pairs))
    assert not finding.has_another_mix
    assert finding.as_json()["photographs_before"] == share


def test_what_is_set_aside_or_not_known_is_not_used():
    """Disputed outcomes, verdicts that were withheld, generators that the model does not have, verdicts without their table."""
    sure = {"classes": CLASSES, "per_class_probs": {"flux": 0.9, "midjourney": 0.05, "real": 0.05}}
    one = labelled(label(), **sure)
    pairs = [
        (one, Judged("disputed")),
        (labelled(label(), **sure, verdict="inconclusive", predicted_source=None), Judged("counted", None, None, None)),
        (one, Judged("counted", right=False, truth="unknown_generator", is_ai=True)),
        (labelled(label(), classes=CLASSES), Judged("counted", right=True, truth="flux", is_ai=True)),
        (one, Judged("counted", right=False, truth=None, is_ai=None)),
    ]
    sample = samples(pairs)["c"]
    assert (len(sample.right), len(sample.truth)) == (2, 0)


def test_a_shift_that_gains_nothing_is_left_out():
    """A temperature alone that was left out is found alone."""
    probs, truth, fold = answers(2000, temperature=1.7)
    done = refit(probs, truth, fold, real=REAL)
    assert done.real_logit_shift is None
    assert done.temperature == pytest.approx(1.7, rel=0.15)


def test_photographs_alone_tell_no_shift():
    """Then only a temperature is fitted."""
    probs, truth, fold = answers(400)
    real = truth == REAL
    done = refit(probs[real], truth[real], fold[real], real=REAL)
    assert done.real_logit_shift is None


def test_the_fit_is_where_the_loss_is_least():
    """No neighbour has less."""
    probs, truth, _ = answers(500, temperature=1.7, shift=-0.5)
    logs, unit = np.log(probs), np.eye(3)[REAL]
    best = fitted(logs, truth, unit)
    least = losses(logs, truth, best, unit).mean()
    for step in ([0.01, 0], [-0.01, 0], [0, 0.01], [0, -0.01]):
        assert losses(logs, truth, best + step, unit).mean() > least


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 40), st.integers(0, 10**6))
def test_a_refit_of_anything_is_a_number(n, seed):
    """Also of a handful of images, all of one class, or separable."""
    probs, truth, fold = answers(n, temperature=0.1, seed=seed)
    done = refit(np.maximum(probs, 5e-7), truth, fold, real=REAL)
    assert 0.05 <= done.temperature <= 20
    assert np.isfinite([done.nll_before, done.nll_after, done.gain, done.low, done.high]).all()


def test_the_error_of_a_perfect_model_is_mostly_below_what_chance_makes():
    """19 times in 20, as stated."""
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.5, 1, 300)
    limit = error_by_chance(confidence)
    errors = [calibration_error(confidence, rng.random(300) < confidence) for _ in range(400)]
    assert 0.90 <= np.mean(np.array(errors) <= limit) <= 0.99


def test_the_error_by_hand():
    """Forty verdicts make two bins: 0.6 said of 0.5 right, 0.9 said of all right."""
    confidence = np.repeat([0.6, 0.9], 20)
    right = np.array([True, False] * 10 + [True] * 20)
    assert calibration_error(confidence, right) == pytest.approx(0.1)
