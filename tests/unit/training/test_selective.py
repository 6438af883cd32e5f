import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import auroc
from training.selective import oscr, risk_coverage

answers = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=25)


def split(rows):
    return np.array([score / 6 for score, _ in rows]), np.array([right for _, right in rows])


def test_the_curve_by_hand():
    """Four answers, the third surest is wrong."""
    curve = risk_coverage(np.array([0.6, 0.9, 0.8, 0.7]), np.array([True, True, True, False]))
    assert curve.coverage == pytest.approx([0.25, 0.5, 0.75, 1])
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert curve.area == pytest.approx((1 / 3 + 1 / 4) / 4)


@pytest.mark.parametrize(("risk", "coverage"), [(0.0, 0.5), (0.25, 1.0), (0.3, 1.0)])
def test_coverage_at_a_risk_by_hand(risk, coverage):
    """As much as may be answered: beyond a bad stretch the risk may be low enough again."""
    curve = risk_coverage(np.array([0.6, 0.9, 0.8, 0.7]), np.array([True, True, True, False]))
    assert curve.coverage_at(risk) == coverage


def test_no_threshold_stops_inside_a_run_of_equal_confidences():
    """Two of three are right, all equally sure: at 2 % risk nothing may be answered, however they are ordered."""
    for right in ([True, True, False], [False, True, True]):
        curve = risk_coverage(np.full(3, 0.9), np.array(right))
        assert curve.coverage_at(0.02) == 0
        assert curve.risk == pytest.approx([1 / 3] * 3)


@given(answers)
def test_the_whole_curve_ends_at_the_error_rate(rows):
    """With everything answered the risk is that of all; and no risk leaves 0..1."""
    confidence, right = split(rows)
    curve = risk_coverage(confidence, right)
    assert curve.risk[-1] == pytest.approx((~right).mean())
    assert ((curve.risk >= 0) & (curve.risk <= 1)).all()


@given(answers, st.sampled_from([0.0, 0.1, 0.5]))
def test_what_is_answered_keeps_the_risk(rows, risk):
    """The images over the threshold that the coverage stands for are wrong no oftener than allowed."""
    confidence, right = split(rows)
    covered = risk_coverage(confidence, right).coverage_at(risk)
    if covered:
        threshold = np.sort(confidence)[::-1][round(covered * len(rows)) - 1]
        assert (~right[confidence >= threshold]).mean() <= risk + 1e-9


def test_oscr_by_hand():
    """Two known (one right, at .9; one wrong, at .8) and two unknown (.85 and .1): the right one beats both, the wrong one counts nothing."""
    assert oscr(np.array([0.9, 0.8]), np.array([True, False]), np.array([0.85, 0.1])) == pytest.approx(0.5)


def test_oscr_of_an_empty_side_is_undefined():
    """There is nothing to hold the known against."""
    assert np.isnan(oscr(np.array([0.9]), np.array([True]), np.array([])))


@given(answers, st.lists(st.integers(0, 6), min_size=1, max_size=25))
def test_oscr_is_at_most_the_accuracy_and_at_most_the_auroc(rows, unknown):
    """Being right and being known are both needed; and with every answer right it is the AUROC."""
    known, right = split(rows)
    strangers = np.array(unknown) / 6
    positive = np.arange(len(known) + len(strangers)) < len(known)
    separation = auroc(np.concatenate([known, strangers]), positive)
    found = oscr(known, right, strangers)
    assert 0 <= found <= min(right.mean(), separation) + 1e-9
    assert oscr(known, np.ones_like(right), strangers) == pytest.approx(separation)
