from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.balance import order, weights

LABELS = [0] * 8 + [1] * 2 + [2] * 5


def test_without_balance_each_image_comes_once():
    """A permutation, another one each epoch."""
    first, second = (order(LABELS, balance="none", seed=7, epoch=epoch) for epoch in (0, 1))
    assert sorted(first) == [(index, 0) for index in range(15)]
    assert first != second
    assert first == order(LABELS, balance="none", seed=7, epoch=0)


def test_the_sampler_shows_each_class_equally_often():
    """Five showings a class of fifteen images; the class of two is shown two and a half times over."""
    drawn = order(LABELS, balance="sampler", seed=7, epoch=0)
    assert Counter(LABELS[index] for index, _ in drawn) == {0: 5, 1: 5, 2: 5}
    assert sorted(Counter(index for index, _ in drawn if LABELS[index] == 1).values()) == [2, 3]
    assert len(set(drawn)) == 15  # a repeat is told apart, so that it is laundered otherwise


def test_a_large_class_is_seen_whole_over_the_epochs():
    """What one epoch leaves out, another shows."""
    seen = {index for epoch in range(12) for index, _ in order(LABELS, balance="sampler", seed=7, epoch=epoch)}
    assert seen == set(range(15))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 3))
def test_an_epoch_is_as_long_as_there_are_images(labels, epoch):
    """And no class gets more than one showing above another's."""
    drawn = order(labels, balance="sampler", seed=1, epoch=epoch)
    assert len(drawn) == len(labels)
    share = -(-len(labels) // len(set(labels)))
    assert max(Counter(labels[index] for index, _ in drawn).values()) <= share


def test_weights_make_the_classes_equal():
    """Each class's images weigh the same together, one image weighs 1 on average, an absent class 1."""
    found = weights(LABELS, 4, balance="weights")
    assert found == pytest.approx([15 / 24, 15 / 6, 1.0, 1.0])
    assert sum(found[label] for label in LABELS) == pytest.approx(15)
    assert weights(LABELS, 3, balance="sampler") is None
