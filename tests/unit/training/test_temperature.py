import numpy as np
import pytest

from training.metrics import ece, nll
from training.scores import Rows
from training.temperature import fit_temperature, fit_temperature_and_shift


def drawn(temperature, n=6000, shift=0.0):
    """Logits that are too large by `temperature` and lean to class 0 by `shift`, one row an image, and labels drawn from the right probabilities."""
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, (n, 5))
    right = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (right.cumsum(1) > rng.random((n, 1))).argmax(1)
    logits[:, 0] += shift
    return Rows(logits * temperature, np.arange(n)), labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.49, 3.0])
def test_a_known_temperature_is_recovered(temperature):
    """Within the noise of 6,000 labels."""
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.05)


def test_the_fitted_temperature_calibrates():
    """ECE falls from that of a boaster to noise."""
    rows, labels = drawn(3.0)
    assert ece(rows.probs(), labels) > 0.1
    assert ece(rows.probs(fit_temperature(rows, labels)), labels) < 0.03


def test_a_known_lean_to_real_is_taken_back():
    """Temperature and shift are found together: 2 and -1.5, within the noise."""
    rows, labels = drawn(2.0, shift=1.5)
    temperature, shift = fit_temperature_and_shift(rows, labels, real=0)
    assert temperature == pytest.approx(2.0, rel=0.05)
    assert shift == pytest.approx(-1.5, abs=0.1)


def test_the_shift_never_costs_likelihood():
    """Both together do at least as well as the temperature alone."""
    rows, labels = drawn(1.5, n=300, shift=0.4)
    temperature, shift = fit_temperature_and_shift(rows, labels, real=0)
    both = rows.probs(temperature, shift * np.eye(5)[0])
    assert nll(both, labels) <= nll(rows.probs(fit_temperature(rows, labels)), labels) + 1e-9


def test_probabilities_and_not_logits_are_averaged_over_crops():
    """Two crops of one image, sure of different classes: an even verdict; the second image has one crop."""
    rows = Rows(np.array([[50.0, 0.0], [0.0, 4.0], [0.0, 0.0]]), np.array([0, 0, 1]))
    first = (1 + 1 / (1 + np.exp(4.0))) / 2
    assert rows.probs() == pytest.approx(np.array([[first, 1 - first], [0.5, 0.5]]))


def test_hopeless_logits_end_at_the_range():
    """Where confidence means nothing, the hottest temperature is the answer, not an error."""
    rng = np.random.default_rng(0)
    rows = Rows(rng.normal(0, 50, (4000, 5)), np.arange(4000))
    assert fit_temperature(rows, rng.integers(0, 5, 4000)) > 15
