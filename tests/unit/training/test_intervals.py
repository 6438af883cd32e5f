import numpy as np
import pytest

from training.intervals import cluster_bootstrap, share_bootstrap, wilson


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(0.9, 40, 0.77, 0.96), (0.5, 40, 0.35, 0.65), (0.9, 229, 0.85, 0.93), (0.0, 40, 0.0, 0.088), (1.0, 10, 0.72, 1.0)],
)
def test_wilson_intervals(right, n, low, high):
    """The usual table; a share of none out of forty may still be 9 %."""
    assert wilson(right, n) == (pytest.approx(low, abs=0.006), pytest.approx(high, abs=0.006))


def test_nothing_is_known_of_a_share_of_no_image():
    """The interval is everything."""
    assert wilson(0.0, 0) == (0.0, 1.0)


def test_the_bootstrap_draws_groups_and_not_rows():
    """A hundred copies of each of four groups are still four groups."""
    values = np.repeat([0.0, 0.0, 1.0, 1.0], 100)
    groups = np.repeat([1, 2, 3, 4], 100)
    edges = cluster_bootstrap(lambda rows: {"mean": float(values[rows].mean())}, groups, seed=1, rounds=400)
    assert edges == {"mean": (0.0, 1.0)}


def test_every_figure_is_measured_on_the_same_draws():
    """Two names for one figure have one interval."""
    values = np.arange(50.0)

    def measure(rows):
        return {"a": float(values[rows].mean()), "b": float(values[rows].mean())}

    edges = cluster_bootstrap(measure, np.arange(50), seed=1, rounds=50)
    assert edges["a"] == edges["b"]
    assert edges["a"].low < values.mean() < edges["a"].high


def test_rounds_without_a_figure_are_left_out_of_it():
    """A figure that is never defined has no interval, one that sometimes is not has that of the others."""
    edges = cluster_bootstrap(
        lambda rows: {"never": float("nan"), "sometimes": 1.0 if 0 in rows else float("nan")},
        np.arange(3),
        seed=1,
        rounds=50,
    )
    assert edges == {"sometimes": (1.0, 1.0)}


def test_a_share_has_the_interval_of_its_images_drawn_by_group():
    """The fast form draws the same groups as the slow one, so they agree to the last digit."""
    rng = np.random.default_rng(0)
    hits, groups = rng.random(60) < 0.3, rng.integers(0, 12, 60)
    slow = cluster_bootstrap(lambda rows: {"share": float(hits[rows].mean())}, groups, seed=4, rounds=200)
    assert share_bootstrap(hits, groups, seed=4, rounds=200) == pytest.approx(slow["share"])
    assert share_bootstrap(hits[:0], groups[:0], seed=4, rounds=200) is None
