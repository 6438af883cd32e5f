"""How far a consumer group is behind, in messages and in seconds: a worker's own partitions, or a whole group seen from outside. Knows no Faust.

Messages are offsets between where the group stands and where the partition ends; transaction markers take offsets too. Seconds are the age
of the oldest record that is not finished, by the time that Kafka keeps with it, which is the producer's clock.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from streams.metrics import LagMetrics
from streams.partition_log import PartitionLog, Place
from streams.settings import KafkaSettings
from streams.topics import partition_counts

LOOK_S = 5.0
LEAVE_S = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a group stands in a partition: the first offset that is not finished, and when its record was written, where that is known.

    `offset` is None where nothing was finished or committed yet: it stands at the beginning.
    """

    topic: str
    partition: int
    offset: int | None
    written_at: float | None = None  # seconds since 1970

    @property
    def place(self) -> Place:
        """The partition."""
        return self.topic, self.partition


@dataclass(frozen=True, slots=True)
class TopicLag:
    """How far a group is behind on one topic. `oldest` is when the oldest unfinished record was written; None: there is none, or nobody knows."""

    topic: str
    partitions: Mapping[int, int]  # messages
    oldest: float | None

    @property
    def messages(self) -> int:
        """Messages of all partitions."""
        return sum(self.partitions.values())

    def seconds(self, now: float) -> float:
        """Return the age of the oldest unfinished record; 0 where nothing is behind, or where a producer's clock is ahead."""
        return 0.0 if self.oldest is None or not self.messages else max(0.0, now - self.oldest)


class Partitions(Protocol):
    """What `streams.partition_log.PartitionLog` answers, and raises."""

    async def spans(self, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
        """Return beginning and end of each partition."""
        ...

    async def written_at(self, positions: Mapping[Place, int]) -> dict[Place, float]:
        """Return when the record at each offset was written."""
        ...

    async def close(self) -> None:
        """Disconnect."""


async def lags(
    standings: Iterable[Standing], spans: Mapping[Place, tuple[int, int]], broker: Partitions
) -> list[TopicLag]:
    """Return the lag of each topic, in alphabetical order. What no standing tells of a record's age is asked of the broker.

    Raises:
        BrokerUnavailable, NotPermitted
    """
    known = [standing for standing in standings if standing.place in spans]
    behind = {standing.place: _behind(standing, *spans[standing.place]) for standing in known}
    unknown = {
        one.place: max(one.offset or 0, spans[one.place][0])
        for one in known
        if behind[one.place] and one.written_at is None
    }
    written = await broker.written_at(unknown)
    times = {one.place: one.written_at if one.written_at is not None else written.get(one.place) for one in known}
    found = []
    for topic in sorted({standing.topic for standing in known}):
        places = sorted(standing.place for standing in known if standing.topic == topic)
        ages = [at for place in places if behind[place] and (at := times[place]) is not None]
        found.append(TopicLag(topic, {place[1]: behind[place] for place in places}, min(ages, default=None)))
    return found


def _behind(standing: Standing, begin: int, end: int) -> int:
    """Return the messages behind; what retention took away before it was read is not waiting for anybody."""
    return max(0, end - max(standing.offset or 0, begin))


class LagWatch:
    """Looks every few seconds how far this worker is behind on the partitions it has, and shows it. Bears its faults: it then shows nothing."""

    def __init__(
        self,
        broker: Partitions,
        standings: Callable[[], Sequence[Standing]],
        metrics: LagMetrics,
        *,
        every_s: float = LOOK_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the parts. `standings` is called on the event loop and returns a standing for each partition that the worker has now."""
        self._broker = broker
        self._standings = standings
        self._metrics = metrics
        self._every_s = every_s
        self._clock = clock
        self._looking: asyncio.Task[None] | None = None
        self._known = True

    def start(self) -> None:
        """Begin to look; returns at once."""
        self._looking = asyncio.create_task(self._look_on())

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking}, timeout=LEAVE_S)  # what the libraries do when cancelled is their affair
        await self._broker.close()

    async def look(self) -> None:
        """Look once. An old figure would be taken for a new one, so when the broker does not answer there is none."""
        try:
            # The ends first: what is finished meanwhile must not make a worker that keeps up seem behind.
            spans = await self._broker.spans([standing.place for standing in self._standings()])
            found = await lags(self._standings(), spans, self._broker)
        except Exception as error:  # noqa: BLE001  # whatever it is, a figure must not end a worker
            if self._known:
                log.warning("lag is not known", error=type(error).__name__, why=str(error))
            self._known = False
            self._metrics.unknown()
        else:
            self._known = True
            now = self._clock()
            self._metrics.show({one.topic: (one.partitions, one.seconds(now)) for one in found})

    async def _look_on(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)


async def group_lag(settings: KafkaSettings, group: str, names: Iterable[str]) -> list[TopicLag]:
    """Return how far `group` is behind on the topics `names`, by what it has committed; without those that the broker does not show.

    Connects anew each time (some tens of milliseconds): for a page or a command, every few seconds at most.

    Raises:
        BrokerUnavailable: no answer, or not in time.
        BrokerNotTrusted, NotAuthenticated, NotPermitted: this process may not ask; the group needs Describe, which Read includes.
    """
    counts = await partition_counts(settings)
    places = [(name, partition) for name in sorted(set(names)) for partition in range(counts.get(name, 0))]
    broker = PartitionLog(settings, group=group)
    try:
        committed = await broker.committed(places)
        spans = await broker.spans(places)
        return await lags([Standing(*place, committed[place]) for place in places], spans, broker)
    finally:
        await broker.close()
