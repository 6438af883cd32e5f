"""The ledger's promise: nothing is acknowledged past an unfinished record."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.ledger import Ledger


def test_acknowledges_in_offset_order_though_finished_out_of_order():
    """A record finished early waits for those before it."""
    acked: list[int] = []
    ledger = Ledger(acked.append)
    entries = [ledger.register("images", 0, 1, offset, offset) for offset in range(4)]
    ledger.finish(entries[2])
    ledger.finish(entries[1])
    assert acked == []
    ledger.finish(entries[0])
    assert acked == [0, 1, 2]
    ledger.finish(entries[3])
    assert acked == [0, 1, 2, 3]
    assert ledger.unfinished == 0


def test_partitions_do_not_wait_for_each_other():
    """An unfinished record holds back its own partition only."""
    acked: list[str] = []
    ledger = Ledger(acked.append)
    ledger.register("images", 0, 1, 0, "stuck")
    free = ledger.register("images", 1, 1, 0, "free")
    ledger.finish(free)
    assert acked == ["free"]


def test_an_older_generation_acknowledges_nothing():
    """After a rebalance the records of before were handed out anew; finishing them must not commit."""
    acked: list[str] = []
    ledger = Ledger(acked.append)
    old = ledger.register("images", 0, 1, 5, "old")
    new = ledger.register("images", 0, 2, 5, "new")
    ledger.finish(old)
    assert acked == []
    assert not ledger.is_current(old)
    ledger.finish(new)
    assert acked == ["new"]


def test_a_late_delivery_of_an_older_generation_does_not_drop_the_newer():
    """What is current stays current."""
    acked: list[str] = []
    ledger = Ledger(acked.append)
    new = ledger.register("images", 0, 2, 5, "new")
    old = ledger.register("images", 0, 1, 5, "old")
    ledger.finish(old)
    ledger.finish(new)
    assert acked == ["new"]


def test_offset_gaps_do_not_hold_back():
    """Compacted topics and transaction markers leave gaps; what was never delivered is not waited for."""
    acked: list[int] = []
    ledger = Ledger(acked.append)
    for offset in (3, 7, 20):
        ledger.finish(ledger.register("images", 0, 1, offset, offset))
    assert acked == [3, 7, 20]


def test_no_random_schedule_commits_past_an_unfinished_record():
    """1,000 random schedules: 3 partitions, rebalances, gaps, 16 in flight; the commit point never passes unfinished work."""
    for seed in range(1000):
        play_schedule(random.Random(seed))


def play_schedule(rng):
    committed: dict[tuple[int, int], int] = {}
    unfinished: dict[tuple[int, int], set[int]] = {}

    def acknowledge(handle):
        partition, generation, offset = handle
        lane = (partition, generation)
        assert all(offset < other for other in unfinished[lane]), "committed past an unfinished record"
        assert offset > committed.get(lane, -1), "acknowledged out of order"
        committed[lane] = offset

    ledger = Ledger(acknowledge)
    generation = dict.fromkeys(range(3), 1)
    following = dict.fromkeys(range(3), 0)
    in_flight = []
    for _ in range(200):
        partition = rng.randrange(3)
        if rng.random() < 0.02:
            generation[partition] += 1
            following[partition] = committed.get((partition, generation[partition] - 1), -1) + 1
        offset = following[partition] + rng.choice([0, 0, 0, 1, 5])
        following[partition] = offset + 1
        lane = (partition, generation[partition])
        unfinished.setdefault(lane, set()).add(offset)
        in_flight.append((lane, offset, ledger.register("images", *lane, offset, (*lane, offset))))
        while len(in_flight) > 16 or (in_flight and rng.random() < 0.4):
            lane, offset, entry = in_flight.pop(rng.randrange(len(in_flight)))
            unfinished[lane].discard(offset)
            ledger.finish(entry)
    for lane, offset, entry in in_flight:
        unfinished[lane].discard(offset)
        ledger.finish(entry)
    assert ledger.unfinished == 0


@settings(max_examples=200)
@given(st.permutations(range(12)))
def test_every_order_of_finishing_acknowledges_everything_once(order):
    """Whatever the order, in the end each record is acknowledged exactly once, in offset order."""
    acked: list[int] = []
    ledger = Ledger(acked.append)
    entries = [ledger.register("images", 0, 1, offset, offset) for offset in range(12)]
    for index in order:
        ledger.finish(entries[index])
    assert acked == list(range(12))
