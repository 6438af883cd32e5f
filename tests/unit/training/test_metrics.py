import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics import accuracy, auroc, balanced_accuracy, brier, cluster_bootstrap, ece, nll, wilson


def calibrated(n, seed=3):
    """Probabilities of five classes, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet([0.5] * 5, size=n)
    labels = (probs.cumsum(1) > rng.random((n, 1))).argmax(1)
    return probs, labels


def test_ece_of_a_calibrated_set_is_small():
    """Labels drawn from the probabilities leave only the noise of the bins."""
    assert ece(*calibrated(20_000)) < 0.01


def test_ece_of_a_boaster_is_its_excess_of_confidence():
    """Always 0.99 sure and right half of the time: 0.49."""
    probs = np.tile([0.99, 0.01], (1000, 1))
    assert ece(probs, np.tile([0, 1], 500), bins=1) == pytest.approx(0.49)


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


def test_auroc_by_hand():
    """Of four pairs, two are in order, one is a tie."""
    assert auroc(np.array([0.9, 0.4, 0.4, 0.1]), np.array([True, False, True, False])) == pytest.approx(3.5 / 4)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auroc_is_the_share_of_ordered_pairs(rows):
    """The fast form agrees with counting pairs."""
    scores, positive = np.array([float(s) for s, _ in rows]), np.array([p for _, p in rows])
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert auroc(scores, positive) == pytest.approx(np.mean(pairs) if pairs else float("nan"), nan_ok=True)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"), [(0.9, 40, 0.77, 0.96), (0.5, 40, 0.35, 0.65), (0.9, 229, 0.85, 0.93)]
)
def test_wilson_intervals(right, n, low, high):
    """The table of QUALITY.md, section 3.4."""
    assert wilson(right, n) == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006))


def test_the_bootstrap_draws_groups_and_not_rows():
    """A hundred copies of each of four groups are still four groups."""
    values = np.repeat([0.0, 0.0, 1.0, 1.0], 100)
    groups = np.repeat([1, 2, 3, 4], 100)
    low, high = cluster_bootstrap(lambda rows: float(values[rows].mean()), groups, seed=1)
    assert (low, high) == (0.0, 1.0)
