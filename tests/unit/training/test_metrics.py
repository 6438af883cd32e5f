import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_curve

from training.metrics import (
    accuracy,
    auroc,
    balanced_accuracy,
    brier,
    classwise_ece,
    confusion,
    ece,
    macro_f1,
    nll,
    precision_at,
    reliability,
    roc,
    tpr_at_fpr,
)

judged = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30)


def calibrated(n, seed=3):
    """Probabilities of five classes, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet([0.5] * 5, size=n)
    labels = (probs.cumsum(1) > rng.random((n, 1))).argmax(1)
    return probs, labels


def split(rows):
    return np.array([float(score) for score, _ in rows]), np.array([positive for _, positive in rows])


def test_ece_of_a_calibrated_set_is_small():
    """Labels drawn from the probabilities leave only the noise of the bins."""
    assert ece(*calibrated(20_000)) < 0.01
    assert classwise_ece(*calibrated(20_000)) < 0.01


def test_ece_of_a_boaster_is_its_excess_of_confidence():
    """Always 0.99 sure and right half of the time: 0.49."""
    probs = np.tile([0.99, 0.01], (1000, 1))
    assert ece(probs, np.tile([0, 1], 500), bins=1) == pytest.approx(0.49)


def test_classwise_ece_by_hand():
    """Class 0 is given .8 and is there in half of the images, class 1 .2: both are .3 off, whatever the top class does."""
    probs = np.tile([0.8, 0.2], (10, 1))
    assert classwise_ece(probs, np.array([0, 1] * 5), bins=1) == pytest.approx(0.3)


def test_a_reliability_diagram_has_bins_of_equal_mass():
    """Seven images in three bins: the least sure first, three in the first bin."""
    bins = reliability(np.array([0.7, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), np.array([1, 0, 1, 0, 1, 0, 1], bool), bins=3)
    assert [part.n for part in bins] == [3, 2, 2]
    assert bins[0] == pytest.approx((3, 0.2, 1 / 3))


def test_nll_and_brier_by_hand():
    """Two images, two classes."""
    probs, labels = np.array([[0.8, 0.2], [0.5, 0.5]]), np.array([0, 1])
    assert nll(probs, labels) == pytest.approx(-(np.log(0.8) + np.log(0.5)) / 2)
    assert brier(probs, labels) == pytest.approx(((0.04 + 0.04) + (0.25 + 0.25)) / 2)


def test_balanced_accuracy_weighs_classes_alike():
    """Nine of class 0 right, one of class 1 wrong."""
    probs = np.tile([0.9, 0.1], (10, 1))
    labels = np.array([0] * 9 + [1])
    assert accuracy(probs, labels) == pytest.approx(0.9)
    assert balanced_accuracy(probs, labels) == pytest.approx(0.5)


def test_confusion_by_hand():
    """Rows are true, columns are called."""
    table = confusion(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), 3)
    assert table.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_macro_f1_is_scikit_learns(rows):
    """Classes that occur neither as truth nor as prediction do not count."""
    said, true = np.array(rows).T
    expected = f1_score(true, said, average="macro", zero_division=0)
    assert macro_f1(confusion(said, true, 4)) == pytest.approx(expected)


def test_macro_f1_of_nothing_is_undefined():
    """No image, no figure."""
    assert np.isnan(macro_f1(np.zeros((3, 3), int)))


def test_auroc_by_hand():
    """Of four pairs, two are in order, one is a tie."""
    assert auroc(np.array([0.9, 0.4, 0.4, 0.1]), np.array([True, False, True, False])) == pytest.approx(3.5 / 4)


@settings(deadline=None)
@given(judged)
def test_auroc_is_the_share_of_ordered_pairs(rows):
    """The fast form agrees with counting pairs."""
    scores, positive = split(rows)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert auroc(scores, positive) == pytest.approx(np.mean(pairs) if pairs else float("nan"), nan_ok=True)


@given(judged)
def test_the_roc_is_scikit_learns(rows):
    """Every threshold is a point; a side without images has no curve."""
    scores, positive = split(rows)
    false, true = roc(scores, positive)
    if positive.all() or not positive.any():
        assert len(false) == len(true) == 0
        return
    expected = roc_curve(positive, scores, drop_intermediate=False)
    assert false == pytest.approx(expected[0])
    assert true == pytest.approx(expected[1])


@given(judged, st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
def test_the_share_found_at_a_false_positive_rate_is_the_best_that_keeps_it(rows, rate):
    """Counted over every threshold by hand."""
    scores, positive = split(rows)
    kept = [
        (scores[positive] >= threshold).mean()
        for threshold in [*scores, np.inf]
        if positive.any() and (~positive).any() and (scores[~positive] >= threshold).mean() <= rate
    ]
    assert tpr_at_fpr(scores, positive, rate) == pytest.approx(max(kept) if kept else float("nan"), nan_ok=True)


@pytest.mark.parametrize(
    ("prevalence", "found", "accused", "precision"),
    [(0.01, 0.9, 0.05, 0.009 / (0.009 + 0.0495)), (0.5, 1.0, 0.0, 1.0), (0.2, 0.0, 0.0, float("nan"))],
)
def test_precision_at_a_prevalence_by_hand(prevalence, found, accused, precision):
    """At one AI image in a hundred, 5 % false positives make 85 % of the accusations wrong."""
    assert precision_at(prevalence, found, accused) == pytest.approx(precision, nan_ok=True)
