"""Sends dead letters again: first looks which there are and which were sent again before, then publishes, a bounded number at a time."""

import asyncio
import uuid
from collections import Counter, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from schemas import topics
from schemas.dead_letter import REPLAY_OF
from schemas.incoming import Intake
from streams.letters import Letter, Pick, read_letters
from streams.producer import Producer
from streams.replay import Replay, fault_of, replay_of
from streams.settings import KafkaSettings
from streams.topic_reader import read_topics

UNDER_WAY = 64  # the broker answers after its linger time: one by one there would be fewer than 50 a second
SKEW = timedelta(hours=1)  # between the clocks of a worker and of whoever replays


@dataclass(frozen=True, slots=True)
class Sent:
    """A letter and the record it became."""

    letter: Letter
    replay: Replay


@dataclass(slots=True)
class Survey:
    """What a replay would do: the outcome ids to try again, and why others are not. Ids only, whatever the letters hold."""

    chosen: set[str] = field(default_factory=set)
    by_code: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


async def survey(settings: KafkaSettings, pick: Pick, *, limit: int | None, again: bool) -> Survey:
    """Return which letters to try again: each outcome once, the oldest first, not those that were tried again before unless `again`."""
    oldest: dict[str, tuple[datetime, str]] = {}
    found = Survey()
    async for record, letter in read_letters(settings, pick):
        if (fault := fault_of(letter)) is not None:
            found.left_out[fault] += 1
        elif letter.outcome_id not in oldest:
            oldest[letter.outcome_id] = (record.timestamp, letter.code)
    before = set() if again or not oldest else await _replayed(settings, min(oldest.values())[0] - SKEW)
    for outcome_id in sorted(oldest, key=lambda one: oldest[one]):
        if outcome_id in before:
            found.left_out["replayed before (--again replays them once more)"] += 1
        elif limit is not None and len(found.chosen) >= limit:
            found.left_out["over --limit"] += 1
        else:
            found.chosen.add(outcome_id)
            found.by_code[oldest[outcome_id][1]] += 1
    return found


async def planned(settings: KafkaSettings, pick: Pick, intake: Intake, chosen: set[str]) -> AsyncGenerator[Sent, None]:
    """Yield for each chosen outcome the record to publish; of identical letters the first."""
    left = set(chosen)
    async for record, letter in read_letters(settings, pick):
        if letter.outcome_id in left and fault_of(letter) is None:
            left.remove(letter.outcome_id)
            yield Sent((record, letter), replay_of(letter, intake, event_id=uuid.uuid4().hex, now=datetime.now(UTC)))
        if not left:
            return


async def publish(producer: Producer, records: AsyncGenerator[Sent, None]) -> AsyncGenerator[Sent, None]:
    """Publish `records`, and yield each once the broker has it.

    Raises:
        BrokerUnavailable: those not yielded may or may not be on the topic; a second replay leaves out those that are.
    """
    under_way: deque[tuple[Sent, asyncio.Future[None]]] = deque()
    try:
        async for sent in records:
            under_way.append((sent, asyncio.ensure_future(_send(producer, sent.replay))))
            while under_way and (len(under_way) >= UNDER_WAY or under_way[0][1].done()):
                yield await _answered(under_way)
        while under_way:
            yield await _answered(under_way)
    finally:
        await asyncio.gather(*(answer for _, answer in under_way), return_exceptions=True)


async def _answered(under_way: deque[tuple[Sent, asyncio.Future[None]]]) -> Sent:
    sent, answer = under_way.popleft()
    await answer
    return sent


async def _send(producer: Producer, replay: Replay) -> None:
    await producer.send(topics.IMAGES, key=replay.key, value=replay.value, headers=replay.headers)


async def _replayed(settings: KafkaSettings, since: datetime) -> set[str]:
    """Return the outcome ids that records on the images topic say they are another try of."""
    return {
        value.decode(errors="replace")
        async for record in read_topics(settings, [topics.IMAGES], since=since)
        for name, value in record.headers
        if name == REPLAY_OF and value is not None
    }
