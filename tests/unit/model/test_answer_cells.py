"""Cells of answers: the numbering that profiles and windows share."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import answer_cells
from model.answer_cells import cell_count, cells_of, novel_cells


def test_examples_in_docstrings_hold() -> None:
    """The examples print what they say."""
    outcome = doctest.testmod(answer_cells)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_the_edge_belongs_to_the_upper_bin() -> None:
    """A probability of exactly 0.9 is sure."""
    assert cells_of(np.array([[0.9, 0.1], [0.8999, 0.1001]]), np.zeros(2, bool)).tolist() == [2, 0]


def test_of_equally_likely_classes_the_first_counts() -> None:
    """A tie is decided the same way everywhere."""
    assert cells_of(np.array([[0.2, 0.4, 0.4]]), np.array([False])).tolist() == [4]


def test_novel_answers_are_in_the_novel_cells() -> None:
    """Novelty is the last figure of the number."""
    cells = cells_of(np.array([[0.3, 0.7], [0.3, 0.7]]), np.array([True, False]))
    assert novel_cells(cell_count(2))[cells].tolist() == [True, False]


def test_what_is_no_number_is_refused() -> None:
    """NaN has no likeliest class."""
    with pytest.raises(ValueError, match="finite"):
        cells_of(np.array([[np.nan, 0.5]]), np.array([False]))


def test_lengths_must_agree() -> None:
    """One flag for two answers is an error, not a broadcast."""
    with pytest.raises(ValueError, match="novel"):
        cells_of(np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([True]))


@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_every_answer_has_a_cell(classes, seed) -> None:
    """Cells are within `cell_count`, whatever the probabilities."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(classes, 0.2), 50)
    cells = cells_of(probs, rng.random(50) < 0.5)
    assert cells.min() >= 0
    assert cells.max() < cell_count(classes)
