"""Lag and contact, asked for of a broker that is played here."""

import asyncio
from collections.abc import Iterable

from schemas.errors import BrokerUnavailable, NotPermitted
from streams.lag import TopicLag
from streams.ops.attention import Attention
from streams.ops.broker_look import BrokerLook, groups_of
from streams.ops.feed import Behind, Feed
from streams.settings import KafkaSettings

NOW = 1_800_000_000.0
GROUPS = [("scoring", ("images",)), ("drift", ("verdicts", "observations"))]


class PlayedBroker:
    """Answers what it was told to, or raises it; with `hangs` it never answers."""

    def __init__(self) -> None:
        self.answers: dict[str, list[TopicLag] | Exception] = {}
        self.hangs = False

    async def ask(self, group: str, _names: Iterable[str]) -> list[TopicLag]:
        """Play `streams.lag.group_lag`."""
        if self.hangs:
            await asyncio.Event().wait()
        answer = self.answers.get(group, [])
        if isinstance(answer, Exception):
            raise answer
        return answer


def a_look(broker: PlayedBroker) -> tuple[BrokerLook, Feed]:
    """Return a look at this broker, and the feed that it tells."""
    feed = Feed(history_ms=3_600_000, latest_verdicts=1, clock=lambda: NOW)
    return BrokerLook(broker.ask, GROUPS, feed, Attention(), answer_s=0.05, clock=lambda: NOW), feed


async def test_lag_is_over_all_topics_of_a_group() -> None:
    """Messages of its topics together, and the age of the oldest of them."""
    broker = PlayedBroker()
    broker.answers["scoring"] = [TopicLag("images", {0: 3, 1: 4}, NOW - 8)]
    broker.answers["drift"] = [TopicLag("observations", {0: 0}, None), TopicLag("verdicts", {0: 2}, NOW - 2)]
    look, feed = a_look(broker)
    await look.look()
    assert feed.behind == (Behind("scoring", 7, 8.0), Behind("drift", 2, 2.0))
    assert feed.contact.fault is None


async def test_a_group_that_may_not_be_asked_about_costs_its_figure() -> None:
    """The other group has its own, and the broker counts as answering."""
    broker = PlayedBroker()
    broker.answers["scoring"] = NotPermitted("no")
    broker.answers["drift"] = [TopicLag("verdicts", {0: 2}, NOW - 2)]
    look, feed = a_look(broker)
    await look.look()
    assert feed.behind == (Behind("scoring", why="this worker may not ask about it"), Behind("drift", 2, 2.0))
    assert feed.contact.fault is None


async def test_a_broker_that_is_away_is_said() -> None:
    """With the words of the error; the figures of before stay, with their time."""
    broker = PlayedBroker()
    look, feed = a_look(broker)
    await look.look()
    broker.answers["scoring"] = BrokerUnavailable("no Kafka broker at 127.0.0.1:1", why="Connection refused")
    await look.look()
    assert feed.contact.fault == "no Kafka broker at 127.0.0.1:1: Connection refused"
    assert feed.contact.last_ms == round(NOW * 1000)


async def test_a_broker_that_hangs_is_said_soon() -> None:
    """The libraries would wait a minute."""
    broker = PlayedBroker()
    broker.hangs = True
    look, feed = a_look(broker)
    await look.look()
    assert feed.contact.fault == "the broker does not answer: not within 0.05 s"


async def test_whatever_is_raised_the_page_goes_on() -> None:
    """An error that nobody thought of costs a figure."""
    broker = PlayedBroker()
    broker.answers["scoring"] = ZeroDivisionError()
    look, feed = a_look(broker)
    await look.look()
    assert feed.behind[0] == Behind("scoring", why="ZeroDivisionError")


def test_waiting_on_a_retry_topic_is_no_lag() -> None:
    """Of the scoring group the images topic is looked at, and not the topics where references wait on purpose."""
    assert groups_of(KafkaSettings())[0] == ("deeptrace-scoring", ("deeptrace.images.v1",))
