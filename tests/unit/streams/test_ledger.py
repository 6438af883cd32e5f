"""The ledger's promise: nothing is acknowledged past an unfinished record."""

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


def test_a_dropped_entry_acknowledges_nothing_and_its_handle_is_returned():
    """Its partition was taken away: somebody gets it anew, and Faust must not wait for it."""
    acked: list[str] = []
    ledger = Ledger(acked.append)
    done, stuck, behind = (
        ledger.register("images", 0, 1, n, name) for n, name in enumerate(("done", "stuck", "behind"))
    )
    other = ledger.register("images", 1, 1, 0, "other")
    ledger.finish(done)
    ledger.finish(behind)
    assert ledger.drop(ledger.lanes()) == ["stuck", "behind", "other"]
    ledger.finish(stuck)
    ledger.finish(other)
    assert acked == ["done"]
    assert ledger.unfinished == 0


def test_a_lane_that_came_after_the_look_is_not_dropped():
    """The partitions of the next generation may be there before the last one is let go."""
    acked: list[str] = []
    ledger = Ledger(acked.append)
    ledger.register("images", 0, 1, 5, "old")
    lanes = ledger.lanes()
    new = ledger.register("images", 0, 2, 5, "new")
    assert ledger.drop(lanes) == []
    ledger.finish(new)
    assert acked == ["new"]


def test_after_a_drop_the_same_generation_starts_anew():
    """A static member gets its partitions back in the generation it had."""
    acked: list[tuple[str, int]] = []
    ledger = Ledger(acked.append)
    old = ledger.register("images", 0, 1, 5, ("old", 5))
    ledger.drop(ledger.lanes())
    new = [ledger.register("images", 0, 1, offset, ("new", offset)) for offset in (5, 6)]
    ledger.finish(old)
    ledger.finish(new[1])
    assert acked == []
    ledger.finish(new[0])
    assert acked == [("new", 5), ("new", 6)]


def test_a_delivery_that_goes_backwards_starts_anew():
    """Read again from the commit without a word of it: what was given before is given again, and counts no more."""
    acked: list[tuple[str, int]] = []
    ledger = Ledger(acked.append)
    first = [ledger.register("images", 0, 1, offset, ("first", offset)) for offset in (5, 6)]
    again = [ledger.register("images", 0, 1, offset, ("again", offset)) for offset in (5, 6)]
    for entry in first:
        ledger.finish(entry)
    assert acked == []
    for entry in reversed(again):
        ledger.finish(entry)
    assert acked == [("again", 5), ("again", 6)]


def test_the_next_offset_is_known_only_within_a_generation():
    """After a drop or a rebalance it is the broker that knows."""
    ledger = Ledger(lambda _handle: None)
    assert ledger.next_offset("images", 0, 1) is None
    ledger.register("images", 0, 1, 7, "a")
    assert ledger.next_offset("images", 0, 1) == 8
    assert ledger.next_offset("images", 0, 2) is None
    assert ledger.next_offset("images", 1, 1) is None
    ledger.drop(ledger.lanes())
    assert ledger.next_offset("images", 0, 1) is None


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(0, 2), st.sampled_from((0, 0, 0, 1, 5))),
        st.tuples(st.just("deliver"), st.integers(0, 2), st.sampled_from((0, 0, 0, 1, 5))),
        st.tuples(st.just("finish"), st.integers(0, 40), st.just(0)),
        st.tuples(st.just("finish"), st.integers(0, 40), st.just(0)),
        st.tuples(st.sampled_from(("rebalance", "rejoin", "again", "late")), st.integers(0, 2), st.just(0)),
    ),
    max_size=120,
)


@settings(max_examples=500, deadline=None)
@given(STEPS)
def test_no_schedule_commits_past_an_unfinished_record(steps):
    """Property: gaps, rebalances, rejoins in one generation, records delivered again and too late, ends in any order, 3 partitions.

    What is committed of a partition only grows, and everything delivered before it, in whatever life, is finished.
    """
    Play().run(steps)


class Play:
    """Three partitions with gaps in their offsets, a consumer that is moved about, and what it may commit."""

    def __init__(self):
        self.ledger = Ledger(self.acknowledge)
        self.generation = [1, 1, 1]
        self.log = [[], [], []]  # the offsets that hold a record
        self.position = [0, 0, 0]
        self.committed = [0, 0, 0]
        self.entries = []
        self.lane = [[], [], []]  # what was delivered since the consumer last went back

    def acknowledge(self, handle):
        partition, offset = handle
        [entry] = [entry for entry in self.lane[partition] if entry.handle is handle]
        assert offset >= self.committed[partition], "acknowledged backwards"
        assert all(other.finished for other in self.lane[partition] if other.offset <= offset), "past an unfinished one"
        assert entry.finished
        self.committed[partition] = offset + 1

    def deliver(self, partition, gap):
        ahead = [offset for offset in self.log[partition] if offset >= self.position[partition]]
        if not ahead:
            ahead = [self.position[partition] + gap]
            self.log[partition].append(ahead[0])
        self.position[partition] = ahead[0] + 1
        entry = self.register(partition, ahead[0], self.generation[partition])
        self.lane[partition].append(entry)

    def register(self, partition, offset, generation):
        entry = self.ledger.register("images", partition, generation, offset, (partition, offset))
        self.entries.append(entry)
        return entry

    def go_back(self, *partitions):
        for partition in partitions:
            self.position[partition], self.lane[partition] = self.committed[partition], []

    def run(self, steps):
        for step, which, gap in steps:
            if step == "deliver":
                self.deliver(which, gap)
            elif step == "finish" and self.entries and not (entry := self.entries[which % len(self.entries)]).finished:
                self.ledger.finish(entry)
            elif step in {"rebalance", "rejoin"}:
                self.ledger.drop(self.ledger.lanes())
                self.go_back(0, 1, 2)
                self.generation = [number + (step == "rebalance") for number in self.generation]
            elif step == "again" and self.position[which] > self.committed[which]:
                self.go_back(which)  # nobody tells the ledger: the consumer read from its commit anew
                self.deliver(which, 0)
            elif step == "late" and self.lane[which] and self.generation[which] > 1:
                assert not self.ledger.is_current(self.register(which, 0, self.generation[which] - 1))
        for entry in self.entries:
            if not entry.finished:
                self.ledger.finish(entry)
        assert self.ledger.unfinished == 0
        assert self.committed == self.position  # nothing is held back for good


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
