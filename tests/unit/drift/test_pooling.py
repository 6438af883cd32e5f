"""Many windows as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.drift_windows import closed, corrected, drifted

from streams.drift.pooling import Pool


def pool(*summaries) -> Pool:
    made = Pool()
    for summary in summaries:
        made.take(summary)
    return made


def test_counts_are_summed_and_shares_are_of_the_decided():
    """Undecided images are in the images and in no share."""
    made = pool(closed({"real": 60, "flux": 20}, undecided=5), closed({"real": 20}, hour=1))
    assert (made.windows, made.images, made.decided, made.undecided) == (2, 105, 100, 5)
    assert made.shares() == {"flux": 0.2, "real": 0.8}


def test_a_window_that_was_published_twice_counts_once():
    """The worker publishes at least once."""
    summary = closed({"real": 60})
    assert pool(summary, summary).images == 60


def test_corrected_shares_are_weighted_by_images():
    """A window of 300 images says three times as much as one of 100; the ends of the intervals are weighted alike."""
    made = pool(
        closed({"real": 300}, correction=corrected(half_width=0.02, real=0.9, flux=0.1)),
        closed({"real": 100}, hour=1, correction=corrected(half_width=0.04, real=0.5, flux=0.5)),
    ).corrected()
    assert made is not None
    shares = made.correction.shares
    assert (shares["flux"].value, shares["real"].value) == (0.2, 0.8)
    assert (shares["flux"].low, shares["flux"].high) == (0.175, 0.225)
    assert made.classes == ("flux", "real")
    assert made.draws.shape == (512, 2)
    assert made.draws.mean(axis=0) == pytest.approx([0.2, 0.8], abs=0.005)


def test_one_unguarded_window_makes_the_pool_unguarded():
    """What was not tested in a part was not tested as a whole."""
    made = pool(
        closed({"real": 10}, correction=corrected(real=1.0)),
        closed({"real": 10}, hour=1, correction=corrected("unguarded", real=1.0)),
    )
    assert made.corrected().correction.status == "unguarded"


def test_corrected_shares_of_a_small_part_are_not_taken_for_the_whole():
    """Where the correction was void for more than half of the images, the raw counts are all there is."""
    made = pool(
        closed({"real": 49}, correction=corrected(real=1.0)), closed({"flux": 51}, hour=1, correction=corrected("void"))
    )
    assert made.corrected() is None
    assert made.void == 1


def test_a_class_that_a_model_does_not_have_is_taken_as_absent_there():
    """Two models of different classes in one range: the shares still sum to 1."""
    made = pool(
        closed({"real": 100}, correction=corrected(real=0.5, flux=0.5)),
        closed({"real": 100}, hour=1, correction=corrected(real=0.5, dalle3=0.5)),
    ).corrected()
    assert {name: share.value for name, share in made.correction.shares.items()} == {
        "dalle3": 0.25,
        "flux": 0.25,
        "real": 0.5,
    }


def test_confidence_and_drifted_windows_are_counted():
    """Histograms of ten bins add up; a window without one adds nothing."""
    made = pool(
        closed({"real": 3}, confidence_histogram=(0,) * 9 + (3,), divergences=drifted("drifting", "e")),
        closed({"real": 1}, hour=1, divergences=drifted("steady")),
    )
    assert made.confidence == [0] * 9 + [3]
    assert made.drifting == 1


def test_nothing_pooled_has_no_shares():
    """No division by zero."""
    assert (pool().shares(), pool().corrected()) == ({}, None)


@given(st.lists(st.dictionaries(st.sampled_from(["real", "flux", "dalle3"]), st.integers(0, 500)), max_size=8))
def test_the_order_of_windows_means_nothing(tables):
    """Partitions are read at different speeds."""
    windows = [closed(table, hour=hour) for hour, table in enumerate(tables)]
    assert pool(*windows) == pool(*reversed(windows))
