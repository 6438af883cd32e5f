"""How far behind a group is, over partitions that a list stands for."""

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from schemas.errors import BrokerUnavailable
from streams.lag import LagWatch, Standing, TopicLag, lags
from streams.ledger import Ledger
from streams.metrics import LagMetrics
from streams.standings import standings


class Broker:
    """Partitions as lists of (offset, written at); what lies between the offsets is transaction markers."""

    def __init__(self, logs, *, ends=None):
        self.logs = logs
        self.ends = ends or {}
        self.asked = []
        self.away = False

    async def spans(self, places):
        if self.away:
            raise BrokerUnavailable("away")
        return {place: (self._begin(place), self.ends.get(place, self._end(place))) for place in places}

    async def written_at(self, positions):
        self.asked += sorted(positions)
        after = {
            place: [at for found, at in self.logs[place] if found >= offset] for place, offset in positions.items()
        }
        return {place: times[0] for place, times in after.items() if times}

    async def close(self):
        pass

    def _begin(self, place):
        return self.logs[place][0][0] if self.logs[place] else 0

    def _end(self, place):
        return self.logs[place][-1][0] + 1 if self.logs[place] else 0


async def lag_of(standing, broker):
    """The lag of the only topic."""
    [found] = await lags([standing], await broker.spans([standing.place]), broker)
    return found


async def test_messages_are_counted_from_the_first_that_is_not_finished():
    """Ten records, four done: six."""
    broker = Broker({("images", 3): [(n, 1000.0 + n) for n in range(10)]})
    found = await lag_of(Standing("images", 3, 4, 1004.0), broker)
    assert found == TopicLag("images", {3: 6}, 1004.0)
    assert found.seconds(1010.0) == 6.0
    assert broker.asked == []


async def test_the_broker_is_asked_how_old_a_record_is_that_the_worker_has_not_got_yet():
    """A worker that takes nothing in has nothing in hand to tell by."""
    broker = Broker({("images", 0): [(n, 1000.0 + n) for n in range(10)]})
    assert (await lag_of(Standing("images", 0, 7), broker)).oldest == 1007.0


async def test_a_group_that_never_committed_stands_at_the_beginning():
    """What retention took away waits for nobody."""
    broker = Broker({("images", 0): [(n, 1000.0 + n) for n in range(90, 100)]})
    assert await lag_of(Standing("images", 0, None), broker) == TopicLag("images", {0: 10}, 1090.0)
    assert (await lag_of(Standing("images", 0, 40), broker)).messages == 10


async def test_nothing_behind_is_no_age():
    """The last record may be a day old, and is done."""
    broker = Broker({("images", 0): [(0, 1.0)]})
    found = await lag_of(Standing("images", 0, 1), broker)
    assert (found.messages, found.seconds(9_999.0)) == (0, 0.0)


async def test_what_was_finished_after_the_ends_were_asked_for_is_not_less_than_nothing():
    """A worker may pass the end that the broker gave a moment ago."""
    broker = Broker({("images", 0): [(n, 1.0) for n in range(5)]}, ends={("images", 0): 3})
    assert (await lag_of(Standing("images", 0, 5), broker)).messages == 0


async def test_markers_at_the_end_are_messages_of_no_age():
    """Offsets that no record has: counted, since the broker does not say that they are empty, and not old."""
    broker = Broker({("images", 0): [(0, 1.0)]}, ends={("images", 0): 2})
    found = await lag_of(Standing("images", 0, 1), broker)
    assert (found.messages, found.seconds(100.0)) == (1, 0.0)


async def test_the_age_of_a_topic_is_that_of_its_oldest_partition_that_is_behind():
    """Two topics, three partitions; the one that is done does not count."""
    broker = Broker(
        {("a", 0): [(0, 50.0)], ("a", 1): [(0, 60.0)], ("b", 0): [(0, 10.0), (1, 99.0)]},
    )
    given_ = [Standing("b", 0, 1), Standing("a", 1, 0), Standing("a", 0, 1)]
    found = await lags(given_, await broker.spans([one.place for one in given_]), broker)
    assert found == [TopicLag("a", {0: 0, 1: 1}, 60.0), TopicLag("b", {0: 1}, 99.0)]


def test_a_clock_that_is_ahead_makes_no_negative_age():
    """A producer may write any time it likes."""
    assert TopicLag("images", {0: 1}, 2000.0).seconds(1000.0) == 0.0


@given(begin=st.integers(0, 50), length=st.integers(0, 50), offset=st.none() | st.integers(0, 120))
async def test_lag_is_never_negative_and_never_more_than_the_partition_holds(begin, length, offset):
    """Whatever was committed, by whomever."""
    broker = Broker({("images", 0): []})
    [found] = await lags([Standing("images", 0, offset)], {("images", 0): (begin, begin + length)}, broker)
    assert 0 <= found.messages <= length


def shown(registry):
    """The gauges, by name and labels."""
    return {
        (sample.name.removeprefix("deeptrace_consumer_lag_"), *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


@pytest.fixture
def registry():
    return CollectorRegistry()


async def test_the_watch_shows_what_it_sees_and_forgets_what_was_taken_away(registry):
    """A partition that another worker has now must not be shown by two."""
    broker = Broker({("images", n): [(0, 1000.0)] for n in (0, 1)})
    had = [Standing("images", 0, 0, 1000.0), Standing("images", 1, 1)]
    watch = LagWatch(broker, lambda: had, LagMetrics(registry), clock=lambda: 1030.0)
    await watch.look()
    both = {("messages", "images", "0"): 1, ("messages", "images", "1"): 0, ("seconds", "images"): 30, ("known",): 1}
    assert shown(registry) == both
    had.pop(0)
    await watch.look()
    assert shown(registry) == {("messages", "images", "1"): 0, ("seconds", "images"): 0, ("known",): 1}


async def test_while_the_broker_is_away_there_is_no_figure(registry):
    """The last one would stand there as if it were true; and it comes back by itself."""
    broker = Broker({("images", 0): [(0, 1000.0)]})
    watch = LagWatch(broker, lambda: [Standing("images", 0, 1)], LagMetrics(registry))
    await watch.look()
    broker.away = True
    await watch.look()
    assert shown(registry) == {("known",): 0}
    broker.away = False
    await watch.look()
    assert shown(registry)["messages", "images", "0"] == 0


async def test_a_partition_that_comes_between_two_questions_waits_for_the_next_look(registry):
    """Its end is not known yet."""
    broker = Broker({("images", 0): [], ("images", 1): []})
    answers = [[], [Standing("images", 1, 0)]]
    watch = LagWatch(broker, lambda: answers.pop(0), LagMetrics(registry))
    await watch.look()
    assert shown(registry) == {("known",): 1}


def delivered(written_at):
    """A Faust event, as far as it matters."""
    return SimpleNamespace(message=SimpleNamespace(timestamp=written_at))


def test_a_worker_stands_at_the_first_record_that_it_has_not_finished():
    """Later ones may be done: nothing of that is acknowledged."""
    ledger = Ledger(lambda _: None)
    entries = [ledger.register("images", 0, 1, offset, delivered(100.0 + offset)) for offset in (5, 6, 7)]
    ledger.finish(entries[1])
    ask = {"generation": 1, "committed": lambda *_: 3}
    assert standings(ledger, [("images", 0)], **ask) == [Standing("images", 0, 5, 105.0)]
    ledger.finish(entries[0])
    assert standings(ledger, [("images", 0)], **ask) == [Standing("images", 0, 7, 107.0)]
    ledger.finish(entries[2])
    assert standings(ledger, [("images", 0)], **ask) == [Standing("images", 0, 8)]


def test_what_was_delivered_before_a_rebalance_does_not_count():
    """It is delivered again, from what was committed."""
    ledger = Ledger(lambda _: None)
    ledger.register("images", 0, 1, 5, delivered(100.0))
    assert standings(ledger, [("images", 0)], generation=2, committed=lambda *_: 3) == [Standing("images", 0, 3)]
    assert standings(ledger, [("images", 1)], generation=2, committed=lambda *_: None) == [Standing("images", 1, None)]


def test_a_record_without_a_time_has_no_age():
    """Kafka gives -1 where a record was written before it kept times."""
    ledger = Ledger(lambda _: None)
    ledger.register("images", 0, 1, 5, delivered(-0.001))
    [found] = standings(ledger, [("images", 0)], generation=1, committed=lambda *_: None)
    assert found.written_at is None


class Crashing(Broker):
    """A broker whose answers are not what anybody expects, once; `looked` is set when it was asked twice."""

    def __init__(self, logs):
        super().__init__(logs)
        self.questions = 0
        self.looked = asyncio.Event()
        self.closed = False

    async def spans(self, places):
        self.questions += 1
        if self.questions == 1:
            raise ValueError("not an answer")
        self.looked.set()
        return await super().spans(places)

    async def close(self):
        self.closed = True


async def test_the_watch_goes_on_after_whatever_happens_and_ends_when_told(registry):
    """A figure must not end a worker, and one look that failed must not be the last."""
    broker = Crashing({("images", 0): [(0, 1000.0)]})
    watch = LagWatch(broker, lambda: [Standing("images", 0, 0, 1000.0)], LagMetrics(registry), every_s=0.001)
    watch.start()
    await asyncio.wait_for(broker.looked.wait(), 10)
    await watch.stop()
    assert broker.closed
    asked = broker.questions
    await asyncio.sleep(0.05)
    assert broker.questions == asked
