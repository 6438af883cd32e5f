"""What waits to be told, and in how many messages."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.window import DriftAlert
from streams.drift.metrics import DriftMetrics
from streams.drift.notices.pace import Pace
from streams.drift.notices.slack import NotTold
from streams.drift.notices.telling import Notices
from streams.ledger import Ledger

AT = datetime(2026, 11, 25, 10, tzinfo=UTC)


class Ear:
    """A `Teller` that hears, or does not as long as it is told so."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.fault: NotTold | None = None

    async def tell(self, text: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.heard.append(text)


class Told:
    """Notices of one worker with a clock of their own, and what may be committed."""

    def __init__(self, per_minute: int = 3) -> None:
        self.now = 1000.0
        self.ear = Ear()
        self.metrics = DriftMetrics()
        self.committed: list[int] = []
        self.ledger = Ledger[int](self.committed.append)
        self.offset = 0
        self.notices = Notices(
            self.ear,
            self.metrics,
            pace=Pace(per_minute, clock=lambda: self.now),
            clock=lambda: self.now,
            now=lambda: self.now,
        )

    def alert(self, alert_id: str, *, age_s: float = 0.0, value: bytes | None = None) -> None:
        """Let an alert come."""
        entry = self.ledger.register("alerts", 0, 1, self.offset, self.offset)
        self.offset += 1
        if not self.notices.take(entry, value or alert(alert_id), written_s=self.now - age_s):
            self.ledger.finish(entry)

    async def tick(self, times: int = 1) -> None:
        """Let as many messages out."""
        for _ in range(times):
            for entry in await self.notices.tell():
                self.ledger.finish(entry)

    def count(self, result: str) -> float:
        """Return a counter."""
        return self.metrics.notices.labels(result)._value.get()


def alert(alert_id: str) -> bytes:
    return DriftAlert(
        alert_id=alert_id,
        window_id="w",
        tenant=alert_id,
        start=AT,
        end=AT,
        images=1,
        value=1.0,
        threshold=0.25,
        shares={},
        reference={},
    ).to_bytes()


async def test_each_is_told_by_itself_while_there_is_room():
    """And committed after Slack has it."""
    told = Told()
    told.alert("a")
    told.alert("b")
    assert told.committed == []
    await told.tick()
    assert (len(told.ear.heard), told.committed) == (1, [0])
    await told.tick(2)
    assert (len(told.ear.heard), told.committed) == (2, [0, 1])
    assert told.count("sent") == 2


async def test_the_last_message_of_a_minute_takes_all_that_wait():
    """Three a minute: two by themselves, then one for the other eight, and nothing before the minute is over."""
    told = Told(per_minute=3)
    for n in range(10):
        told.alert(f"a{n}")
    await told.tick(5)
    assert len(told.ear.heard) == 3
    assert told.ear.heard[2].startswith("*8 drift notices*")
    assert told.ear.heard[2].endswith("and 3 more, on the topic `deeptrace.drift-alerts.v1`")
    assert told.committed == list(range(10))
    told.alert("late")
    await told.tick()
    assert len(told.ear.heard) == 3
    told.now += 60
    await told.tick()
    assert len(told.ear.heard) == 4
    assert (told.count("sent"), told.count("digest")) == (3, 8)


async def test_an_alert_that_was_published_twice_is_told_once():
    """Whether the repeat comes before the first was told or after it."""
    told = Told(per_minute=5)
    told.alert("a")
    told.alert("a")
    await told.tick(2)
    told.alert("a")
    await told.tick()
    assert len(told.ear.heard) == 1
    assert told.committed == [0, 1, 2]
    assert told.count("repeat") == 2


async def test_while_slack_is_away_notices_wait():
    """Nothing is committed, tries get rarer, and what came first is told first."""
    told = Told()
    told.ear.fault = NotTold("HTTP 503")
    told.alert("a")
    told.alert("b")
    await told.tick(3)
    assert (told.committed, told.count("waiting")) == ([], 1)
    told.now += 5
    await told.tick(3)
    assert told.count("waiting") == 2
    told.ear.fault = None
    told.now += 9.9
    await told.tick()
    assert told.ear.heard == []
    told.now += 0.1
    await told.tick(2)
    assert ["`a`" in told.ear.heard[0], "`b`" in told.ear.heard[1]] == [True, True]
    assert told.committed == [0, 1]


async def test_what_slack_asks_for_is_waited_for():
    """Up to an hour: a broken Retry-After must not silence us for a year."""
    told = Told()
    told.ear.fault = NotTold("HTTP 429", retry_after_s=120)
    told.alert("a")
    await told.tick()
    told.ear.fault = None
    told.now += 119
    await told.tick()
    assert told.ear.heard == []
    told.now += 1
    await told.tick()
    assert len(told.ear.heard) == 1

    told.ear.fault = NotTold("HTTP 429", retry_after_s=1e9)
    told.alert("b")
    await told.tick()
    told.ear.fault = None
    told.now += 3600
    await told.tick()
    assert len(told.ear.heard) == 2


async def test_a_text_that_slack_refuses_holds_up_nothing():
    """It is dropped, counted and committed."""
    told = Told()
    told.ear.fault = NotTold("HTTP 400", again=False)
    told.alert("a")
    await told.tick()
    told.ear.fault = None
    told.alert("b")
    await told.tick()
    assert len(told.ear.heard) == 1
    assert (told.committed, told.count("dropped")) == ([0, 1], 1)


async def test_what_is_old_or_no_alert_is_passed_over():
    """The group may be new and the topic full; a record of another kind is no reason to stop."""
    told = Told()
    told.alert("a", age_s=4 * 86400)
    told.alert("b", value=b"{}")
    await told.tick()
    assert told.ear.heard == []
    assert told.committed == [0, 1]
    assert (told.count("old"), told.count("unreadable")) == (1, 1)


async def test_what_another_worker_has_now_is_not_told_here():
    """Its partition was taken away while it waited."""
    told = Told()
    told.alert("a")
    told.ledger.drop(told.ledger.lanes())
    await told.tick()
    assert (told.ear.heard, told.committed) == ([], [])


@pytest.mark.parametrize("per_minute", [1, 2, 6])
@given(arrivals=st.lists(st.integers(0, 5), max_size=60))
async def test_no_minute_has_more_messages_than_allowed_and_none_is_lost(per_minute, arrivals):
    """Whatever comes at whatever second: at most so many messages in any 60 s, and each alert is told within a minute of the last."""
    told = Told(per_minute)
    sent: list[float] = []
    number = 0
    for coming in [*arrivals, *[0] * 61]:
        for _ in range(coming):
            told.alert(f"a{number}")
            number += 1
        for _ in range(per_minute + 1):
            before = len(told.ear.heard)
            await told.tick()
            sent += [told.now] * (len(told.ear.heard) - before)
        told.now += 1
    assert told.committed == list(range(number))
    for at in sent:
        assert sum(at <= other < at + 60 for other in sent) <= per_minute
