"""The clock of the fault harness: what counts as silence, and when a fault is over."""

import pytest
from faults.harness.recovery import Clock


def test_silence_counts_only_while_a_reference_waits():
    """Two seconds with one waiting, then a long time with nothing to do."""
    clock = Clock()
    clock.accepted("a", 0, 10.0)
    clock.outcome("a", 12.0)
    clock.accepted("b", 0, 500.0)
    clock.outcome("b", 501.0)
    assert clock.silence_s == 2.0


def test_a_repeat_ends_no_silence():
    """Outcomes that are published again are no progress."""
    clock = Clock()
    clock.accepted("a", 0, 0.0)
    clock.accepted("b", 0, 0.0)
    clock.outcome("a", 1.0)
    clock.outcome("a", 5.0)
    clock.outcome("b", 9.0)
    assert clock.silence_s == 8.0


def test_an_outcome_may_be_seen_before_the_acknowledgement():
    """Then the reference never waits."""
    clock = Clock()
    clock.outcome("a", 1.0)
    clock.accepted("a", 0, 2.0)
    assert clock.behind == 0


def test_recovery_waits_for_each_partition_that_was_behind_and_for_what_was_accepted_before():
    """First outcome, then one in both partitions, then all of the three; what came later does not count."""
    clock = Clock()
    for name, partition in (("a", 0), ("b", 0), ("c", 1)):
        clock.accepted(name, partition, 0.0)
    clock.healed("kill", 10.0)
    clock.accepted("later", 2, 11.0)
    clock.outcome("later", 11.5)
    clock.outcome("a", 12.0)
    clock.outcome("c", 13.0)
    clock.outcome("b", 15.0)
    [recovery] = clock.recoveries
    assert recovery.to_json() == {
        "fault": "kill",
        "interrupted": False,
        "first_s": 1.5,
        "all_partitions_s": 3.0,
        "caught_up_s": 5.0,
    }


def test_where_nothing_waited_nothing_is_measured():
    """A fault that nobody could feel has no recovery."""
    clock = Clock()
    clock.healed("kill", 1.0)
    clock.accepted("a", 0, 2.0)
    clock.outcome("a", 3.0)
    assert clock.recoveries[0].all_partitions_s is None


def test_latency_is_from_acknowledgement_to_first_outcome():
    """And never negative, when the outcome was seen first."""
    clock = Clock()
    clock.accepted("a", 0, 1.0)
    clock.outcome("a", 1.25)
    clock.outcome("b", 5.0)
    clock.accepted("b", 0, 5.5)
    assert clock.latency("a") == pytest.approx(0.25)
    assert clock.latency("b") == 0.0


def test_a_recovery_that_another_fault_interrupts_counts_from_that_one():
    """The cause of the first is not gone while the next one holds everything up."""
    clock = Clock()
    clock.accepted("a", 0, 0.0)
    clock.healed("kill", 1.0)
    clock.healed("kill", 20.0)
    clock.outcome("a", 23.0)
    first, second = clock.recoveries
    assert (first.interrupted, first.all_partitions_s) == (True, None)
    assert (second.interrupted, second.all_partitions_s) == (False, 3.0)
