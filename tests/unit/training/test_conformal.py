import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError
from training.conformal import conformal_rule, label_sets


def drawn(rng, n):
    """Probabilities that are too sure of themselves, and labels."""
    labels = rng.integers(0, 4, n)
    logits = rng.normal(size=(n, 4)) + 1.2 * np.eye(4)[labels]
    powers = np.exp(3 * logits)
    return powers / powers.sum(1, keepdims=True), labels


def test_the_rule_by_hand():
    """Nine images at 80 %: the eighth largest probability of the true class is the least that enters a set."""
    true = np.array([0.9, 0.1, 0.8, 0.3, 0.7, 0.6, 0.5, 0.4, 0.95])
    probs = np.column_stack([true, 1 - true])
    rule = conformal_rule(probs, np.zeros(9, int), 0.8)
    assert (rule.least_probability, rule.images, rule.coverage) == (0.3, 9, 0.8)


def test_a_set_holds_every_class_that_is_likely_enough():
    """Sets may have one label, several or none."""
    rule = conformal_rule(np.tile([0.4, 0.6], (9, 1)), np.zeros(9, int), 0.8)
    sets = label_sets(np.array([[0.4, 0.3, 0.3], [0.5, 0.45, 0.05], [0.34, 0.33, 0.33]]), rule)
    assert sets.sizes.tolist() == [1, 2, 0]
    assert sets.holds(np.array([0, 2, 0])).tolist() == [True, False, False]


def test_too_few_images_cannot_promise_a_coverage():
    """Eight images for 90 %."""
    with pytest.raises(UsageError, match="8 images are too few for label sets"):
        conformal_rule(np.tile([0.5, 0.5], (8, 1)), np.zeros(8, int), 0.9)


@settings(deadline=None, max_examples=15)
@given(st.integers(30, 150), st.sampled_from([0.8, 0.9]), st.integers(0, 2**31))
def test_sets_hold_the_true_class_as_often_as_promised(n, coverage, seed):
    """Whatever the probabilities are worth: over many calibration sets the mean coverage of new images is what was asked, and little more."""
    rng = np.random.default_rng(seed)
    held = []
    for _ in range(200):
        rule = conformal_rule(*drawn(rng, n), coverage)
        probs, labels = drawn(rng, 20)
        held.append(label_sets(probs, rule).holds(labels).mean())
    assert coverage - 0.03 <= np.mean(held) <= coverage + 1 / (n + 1) + 0.03
