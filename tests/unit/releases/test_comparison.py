"""The flip matrix and the advice."""

import doctest
import math
from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.shadow import Opinion, ShadowVerdict
from streams.releases import comparison
from streams.releases.comparison import Pairs, Rule, compare, counted, direction_evidence, share_interval

AI, REAL, NEITHER = ("ai_generated", "flux", 0.9), ("real", "real", 0.1), ("inconclusive", None, 0.5)


def opinion(said, version):
    verdict, source, p_ai = said
    return Opinion(version=version, sha256=version * 8, verdict=verdict, predicted_source=source, p_ai=p_ai)


def pairs(*wanted):
    """Return pairs from (count, champion, candidate), each of an outcome of its own."""
    made = []
    for count, ours, theirs in wanted:
        for _ in range(count):
            made.append(
                ShadowVerdict(
                    outcome_id=str(len(made)),
                    tenant="t",
                    judged=datetime.now(UTC),
                    champion=opinion(ours, "1.0"),
                    candidate=opinion(theirs, "1.1"),
                )
            )
    return made


def test_the_matrix_counts_what_each_says():
    """The source where one is named, else the verdict; a repeat is counted once."""
    found = pairs((3, AI, AI), (2, AI, REAL), (1, REAL, NEITHER))
    matrix = counted([*found, *found]).matrix
    assert matrix == {("flux", "flux"): 3, ("flux", "real"): 2, ("real", "inconclusive"): 1}


def test_an_attribution_that_changes_is_a_flip_without_direction():
    """Still AI, another generator."""
    found = compare(counted(pairs((5, AI, ("ai_generated", "dalle3", 0.9)))))
    assert (found.flips, found.to_real, found.to_ai) == (5, 0, 0)


def test_the_mean_and_the_largest_shift_of_p_ai():
    """Positive where the candidate says more AI."""
    found = compare(counted(pairs((3, REAL, REAL), (1, REAL, AI))))
    assert found.mean_p_ai == (0.1, (3 * 0.1 + 0.9) / 4)
    assert math.isclose(found.largest_shift, 0.8)


def test_few_images_are_watched_further():
    """However well they agree."""
    assert compare(counted(pairs((999, AI, AI)))).advice == "keep watching"


def test_an_equal_candidate_is_promoted():
    """A thousand images, two flips, one each way."""
    found = compare(counted(pairs((998, AI, AI), (1, AI, REAL), (1, REAL, AI))))
    assert found.advice == "promote"
    assert found.flip_rate[1] < 0.02


def test_flips_that_go_one_way_hold_it_back_also_when_they_are_few():
    """Nine of nine: chance does so once in 256, and nobody has said that it is wanted."""
    found = compare(counted(pairs((5000, AI, AI), (9, AI, REAL))))
    assert found.advice == "hold"
    assert "from ai_generated to real: 9 of 9" in found.why


def test_a_candidate_that_changes_much_is_held_back():
    """A tenth of the images, in equal parts."""
    found = compare(counted(pairs((900, AI, AI), (50, AI, REAL), (50, REAL, AI))))
    assert (found.advice, found.direction_e < 1) == ("hold", True)


def test_between_the_two_it_is_watched_further():
    """Two percent flip, and whether it is more than two percent is not known yet."""
    found = compare(counted(pairs((980, AI, AI), (10, AI, REAL), (10, REAL, AI))))
    assert found.advice == "keep watching"


def test_without_any_pair_nothing_is_said():
    """And nothing is divided by nought."""
    found = compare(counted([]))
    assert (found.advice, found.flip_rate, found.mean_p_ai, found.direction_e) == (
        "keep watching",
        (0.0, 1.0),
        None,
        1.0,
    )


def test_the_rule_is_written_out_with_its_numbers():
    """As it is printed under every advice."""
    text = Rule(alpha=0.01, min_pairs=500, max_flip_rate=0.05).text
    assert all(part in text for part in ("alpha 0.01", "500 images", "5.0%", "99%"))


def test_the_examples_in_the_docstrings_hold():
    """They were run."""
    assert doctest.testmod(comparison).failed == 0


def test_looking_all_the_time_at_chance_seldom_alarms():
    """400 fair flips, looked at after each: at most 5 % of such trials may ever reach 1/alpha (here 3.4 %; a fixed-n test: over 20 %)."""
    rng = np.random.default_rng(1)
    ones = np.cumsum(rng.integers(0, 2, (1000, 400)), axis=1)
    alarms = sum(
        any(direction_evidence(int(a), n - int(a)) >= 20 for n, a in enumerate(trial, start=1)) for trial in ones
    )
    assert 0 < alarms <= 50


def test_looking_all_the_time_the_interval_holds_the_true_share():
    """2 % flips over 2,000 images, looked at every 50: all ends hold it in 95 % of the trials at least."""
    rng = np.random.default_rng(2)
    counts = np.cumsum(rng.random((200, 2000)) < 0.02, axis=1)[:, 49::50]
    missed = 0
    for trial in counts:
        ends = [share_interval(int(count), 50 * (n + 1)) for n, count in enumerate(trial)]
        missed += not all(low <= 0.02 <= high for low, high in ends)
    assert missed <= 10


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_evidence_does_not_care_which_way_is_which(one, other):
    """Symmetric, positive, and 1 where nothing flips."""
    assert math.isclose(direction_evidence(one, other), direction_evidence(other, one))
    assert direction_evidence(one, other) > 0


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_evidence_is_a_fair_game_under_chance(one, other):
    """Property of a martingale: the mean over the next fair flip is what it is now."""
    mean = (direction_evidence(one + 1, other) + direction_evidence(one, other + 1)) / 2
    assert math.isclose(mean, direction_evidence(one, other), rel_tol=1e-9)


@given(st.integers(1, 5000), st.data())
def test_the_interval_holds_what_was_counted(n, data):
    """And lies within 0 and 1."""
    count = data.draw(st.integers(0, n))
    low, high = share_interval(count, n)
    assert 0 <= low <= count / n <= high <= 1


def test_evidence_beyond_a_float_is_infinite():
    """Five thousand flips one way."""
    assert direction_evidence(5000, 0) == math.inf


def test_reviewers_tell_gains_from_losses():
    """A withheld verdict is not right; images that nobody has labelled are in neither count."""
    found = Pairs()
    for pair, is_ai in zip(
        pairs((3, REAL, AI), (1, AI, REAL), (1, AI, NEITHER), (1, AI, AI), (1, REAL, AI)),
        (True, True, True, True, False, True, None),
        strict=True,
    ):
        found.take(pair, is_ai=is_ai)
    compared = compare(found)
    assert (compared.labelled, compared.gained, compared.lost) == (6, 3, 1)
    assert compared.label_e == direction_evidence(3, 1)


def test_without_labels_nothing_is_gained_or_lost():
    """The evidence is then none for either."""
    found = compare(counted(pairs((5, REAL, AI))))
    assert (found.labelled, found.gained, found.lost, found.label_e) == (0, 0, 0, 1)
