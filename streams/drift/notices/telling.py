"""The companion that tells Slack of alerts and candidates: each once over all workers, at least once whatever dies, and not too many at once.

It reads the alerts topic in a group of its own and commits what Slack has taken. While Slack is away notices wait, and the topic has them in any case.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiohttp import web

from schemas import topics
from schemas.errors import MessageInvalid
from streams.drift.following import Following
from streams.drift.metrics import DriftMetrics
from streams.drift.notices.pace import Pace
from streams.drift.notices.slack import NotTold, Teller
from streams.drift.notices.wording import Notice, digest, notice_of
from streams.intake import Intake, Place
from streams.ledger import Entry
from streams.settings import KafkaSettings

MAX_AGE_S: Final = 3 * 86400.0
"""Older records are passed over: the group may be new, and the topic full."""
MAX_WAITING: Final = 1000
REMEMBERED: Final = 10_000
TICK_S: Final = 0.5
FIRST_PAUSE_S: Final = 5.0
LAST_PAUSE_S: Final = 300.0
LONGEST_PAUSE_S: Final = 3600.0
"""Whatever Slack asks for."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice and the record it came from."""

    entry: Entry[Place]
    notice: Notice


class Notices:
    """What waits to be told, in the order in which it came, and what was. Knows no broker."""

    def __init__(
        self,
        teller: Teller,
        metrics: DriftMetrics,
        *,
        pace: Pace,
        first_pause_s: float = FIRST_PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._teller = teller
        self._metrics = metrics
        self._pace = pace
        self._first_pause_s = first_pause_s
        self._clock = clock
        self._now = now
        self._waiting: deque[Waiting] = deque()
        self._told: OrderedDict[str, None] = OrderedDict()
        self._failures = 0
        self._not_before = 0.0

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be read now."""
        return len(self._waiting) >= MAX_WAITING

    def take(self, entry: Entry[Place], value: bytes | None, *, written_s: float) -> bool:
        """Put a record in the queue; return False where there is nothing to be told of it."""
        if self._now() - written_s > MAX_AGE_S:
            self._metrics.notices.labels("old").inc()
            return False
        try:
            notice = notice_of(value or b"")
        except MessageInvalid as error:
            log.warning("no notice", why=error.why)
            self._metrics.notices.labels("unreadable").inc()
            return False
        if notice.id in self._told:
            self._metrics.notices.labels("repeat").inc()
            return False
        self._waiting.append(Waiting(entry, notice))
        self._metrics.notices_waiting.set(len(self._waiting))
        return True

    async def tell(self) -> list[Entry[Place]]:
        """Tell what may be told now, in one message; return the records that are done with. Raises nothing.

        One notice is one message as long as the minute has room for more than that; the last message of a minute takes all that wait.
        """
        self._forget_lost()
        left = self._pace.left
        if not self._waiting or left <= 0 or self._clock() < self._not_before:
            return []
        group = list(self._waiting) if left == 1 else [self._waiting[0]]
        done: list[Waiting] = []
        fresh: list[Waiting] = []
        for one in group:  # a repeat may have come while the first waited
            known = one.notice.id in self._told or any(one.notice.id == other.notice.id for other in fresh)
            (done if known else fresh).append(one)
        result = "digest" if len(fresh) > 1 else "sent"
        if fresh:
            try:
                await self._teller.tell(
                    fresh[0].notice.text if len(fresh) == 1 else digest([one.notice for one in fresh])
                )
            except NotTold as error:
                if error.again:
                    self._pause(error)
                    return []
                log.warning("notice refused", notices=len(fresh), why=error.why)
                result = "dropped"
            self._pace.note()
            self._failures = 0
        self._metrics.notices.labels(result).inc(len(fresh))
        self._metrics.notices.labels("repeat").inc(len(done))
        for one in fresh:
            self._remember(one.notice.id)
        for _ in group:
            self._waiting.popleft()
        self._metrics.notices_waiting.set(len(self._waiting))
        return [one.entry for one in group]

    def forget(self) -> None:
        """Leave out all that waits: the group was left, and what is not committed is delivered again."""
        self._waiting.clear()
        self._metrics.notices_waiting.set(0)

    def _pause(self, error: NotTold) -> None:
        pause_s = min(self._first_pause_s * 2.0 ** min(self._failures, 30), LAST_PAUSE_S)
        pause_s = min(max(pause_s, error.retry_after_s), LONGEST_PAUSE_S)
        self._failures += 1
        self._not_before = self._clock() + pause_s
        self._metrics.notices.labels("waiting").inc()
        log.warning("notices wait", notices=len(self._waiting), why=error.why, again_in_s=round(pause_s, 1))

    def _remember(self, notice_id: str) -> None:
        self._told[notice_id] = None
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    def _forget_lost(self) -> None:
        """Leave out what lies in partitions that went to another worker: that one tells it."""
        if any(one.entry.lane.dropped for one in self._waiting):
            self._waiting = deque(one for one in self._waiting if not one.entry.lane.dropped)


class NoticesFromTopic:
    """See `streams.drift.companions.Companion`."""

    def __init__(self, kafka: KafkaSettings, notices: Notices) -> None:
        self._notices = notices
        self._following = Following(kafka, topic=topics.DRIFT_ALERTS, group=kafka.notices_group, work=self._work)

    def routes(self, app: web.Application) -> None:
        """Serve nothing."""

    async def start(self) -> None:
        """Begin to follow the alerts."""
        self._following.start()

    async def stop(self) -> None:
        """Leave the group; what waits is told by another worker, or after the next start."""
        await self._following.stop()

    async def _work(self, intake: Intake) -> None:
        self._notices.forget()
        while True:
            if self._notices.is_full:
                await asyncio.sleep(TICK_S)
            else:
                for entry, record in await intake.batch():
                    self._take(intake, entry, record)
            for entry in await self._notices.tell():
                intake.finish(entry)
            await intake.commit()

    def _take(self, intake: Intake, entry: Entry[Place], record: Any) -> None:
        if not self._notices.take(entry, record.value, written_s=record.timestamp / 1000):
            intake.finish(entry)
