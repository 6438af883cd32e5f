"""Dead letters read back off their topic: picked by code, time and place, one at a time, so that memory does not grow with their number."""

import heapq
from collections import Counter
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from schemas import topics
from schemas.dead_letter import DeadLetter
from schemas.incoming import Record
from streams.settings import KafkaSettings
from streams.topic_reader import read_topics

Letter = tuple[Record, DeadLetter]


@dataclass(frozen=True, slots=True)
class Pick:
    """Which dead letters are meant; nothing given means all."""

    codes: Collection[str] = ()
    since: datetime | None = None
    place: tuple[int, int] | None = None

    def takes(self, record: Record, letter: DeadLetter) -> bool:
        """Whether this one is meant."""
        return (
            (not self.codes or letter.code in self.codes)
            and (self.since is None or record.timestamp >= self.since)
            and (self.place is None or (record.partition, record.offset) == self.place)
        )


async def read_letters(settings: KafkaSettings, pick: Pick) -> AsyncIterator[Letter]:
    """Yield the dead letters that are there now and meant, in the order of each partition.

    Raises:
        BrokerUnavailable, TopicMissing, ConfigError: as `read_topics`.
    """
    starts = None if pick.place is None else dict([pick.place])
    async for record in read_topics(settings, [topics.DEAD_LETTERS], since=pick.since, starts=starts):
        letter = DeadLetter.read(record)
        if pick.takes(record, letter):
            yield record, letter
            if pick.place is not None:
                return


class Newest:
    """Keeps the newest letters, at most `limit` of them and without their bodies, and counts the rest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: list[tuple[datetime, int, int, Letter]] = []
        self.total = 0

    def add(self, record: Record, letter: DeadLetter) -> None:
        """Keep this letter, if it is among the newest."""
        self.total += 1
        slim = (
            replace(record, key=None, value=None, headers=()),
            replace(letter, key=None, value=None, original_headers=()),
        )
        entry = (record.timestamp, record.partition, record.offset, slim)
        if len(self._kept) < self._limit:
            heapq.heappush(self._kept, entry)
        else:
            heapq.heappushpop(self._kept, entry)

    @property
    def letters(self) -> list[Letter]:
        """Return what is kept, the newest last."""
        return [entry[-1] for entry in sorted(self._kept, key=lambda entry: entry[:3])]


class Counts:
    """How many letters there are of each code, and the times of the first and the last."""

    def __init__(self) -> None:
        self.letters: Counter[str] = Counter()
        self.times: dict[str, tuple[datetime, datetime]] = {}

    def add(self, record: Record, letter: DeadLetter) -> None:
        """Count this letter."""
        at = record.timestamp
        first, last = self.times.get(letter.code, (at, at))
        self.letters[letter.code] += 1
        self.times[letter.code] = (min(first, at), max(last, at))


def place_of(record: Record) -> str:
    """Return where a letter lies, as the command line writes it."""
    return f"{record.partition}:{record.offset}"


def header_text(value: bytes | None) -> str | None:
    """Return a header's value as text; Kafka allows a null value."""
    return None if value is None else value.decode(errors="replace")


def summary(letter: DeadLetter, *, place: str | None = None) -> dict[str, Any]:
    """Return what a dead letter says, JSON-compatible; `place` is where it lies, if it lies on the topic."""
    return {
        **({} if place is None else {"letter": place}),
        "code": letter.code,
        "stage": letter.stage,
        "attempts": letter.attempts,
        "outcome_id": letter.outcome_id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "message": letter.message,
    }


def whole(record: Record, *, place: str | None = None) -> dict[str, Any]:
    """Return `summary` with all headers and the value, as text."""
    headers = [(name, header_text(value)) for name, value in record.headers]
    value = (record.value or b"").decode(errors="backslashreplace")
    return {**summary(DeadLetter.read(record), place=place), "headers": headers, "value": value}
