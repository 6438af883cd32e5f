"""The ops page as a companion of the drift worker: followers, a look at the broker now and then, and what is served."""

import asyncio
import secrets
import time
from collections.abc import Iterable
from functools import partial
from typing import Final

from aiohttp import web

from schemas import topics
from streams.labels.book import LabelBook
from streams.lag import TopicLag, group_lag
from streams.ops.attention import Attention
from streams.ops.broker_look import BrokerLook, groups_of
from streams.ops.feed import Feed
from streams.ops.follower import Followed, Follower
from streams.ops.guard import Guard
from streams.ops.pictures import Pictures, open_pictures
from streams.ops.server import OpsServer
from streams.ops.snapshot import Snapshots
from streams.ops.tokens import Place, Tokens
from streams.settings import Settings

HOUR_MS: Final = 3_600_000
MOST_VERDICTS, MOST_LETTERS = 50_000, 10_000
"""How much of the history is read when somebody looks: some seconds of a quarter of one core. A dead letter carries its original."""
NO_PICTURES: Final = (
    "This drift worker has no credentials to the object store (DEEPTRACE_STORE__ACCESS_KEY), so there are no pictures."
)
FOLLOWED: Final = (
    Followed(topics.WINDOWS),
    Followed(topics.DRIFT_ALERTS),
    Followed(topics.VERDICTS, MOST_VERDICTS, only_looked_at=True),
    Followed(topics.DEAD_LETTERS, MOST_LETTERS, only_looked_at=True),
)


class OpsPage:
    """Serves the page and keeps it up to date. Whatever happens to it, the windows do not notice."""

    def __init__(self, settings: Settings, labels: LabelBook | None = None) -> None:
        ops = settings.ops
        self._settings = settings
        self._pictures = open_pictures(settings)
        self._attention = Attention()
        self._feed = Feed(
            history_ms=round(ops.history_h * HOUR_MS), latest_verdicts=ops.latest_verdicts, clock=time.time
        )
        self._server = serve(
            self._feed,
            self._attention,
            self._pictures,
            Guard(settings.http.host, ops.hosts),
            threshold=settings.drift.threshold,
            labels=labels,
        )
        self._tasks: list[asyncio.Task[None]] = []

    def routes(self, app: web.Application) -> None:
        """Add the page and its interface."""
        self._server.routes(app)

    async def start(self) -> None:
        """Begin to follow the topics; returns at once."""
        kafka = self._settings.kafka
        look = BrokerLook(partial(_lag, self._settings), groups_of(kafka), self._feed, self._attention)
        followers = [Follower(kafka, one, self._feed, self._attention) for one in FOLLOWED]
        self._tasks = [asyncio.create_task(work) for work in (look.run(), *(one.run() for one in followers))]

    async def stop(self) -> None:
        """End everything, event streams first."""
        self._server.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        if self._pictures is not None:
            await self._pictures.close()


def serve(
    feed: Feed,
    attention: Attention,
    pictures: Pictures | None,
    guard: Guard,
    *,
    threshold: float,
    labels: LabelBook | None = None,
) -> OpsServer:
    """Return what serves a feed, whoever fills it."""
    tokens = Tokens(time.time)

    def offer(place: Place) -> str | None:
        return tokens.offer(place) if pictures is not None and pictures.shows(place) else None

    snapshots = Snapshots(
        feed,
        offer,
        name=secrets.token_hex(4),
        threshold=threshold,
        no_pictures=NO_PICTURES if pictures is None else None,
        labels=labels,
    )
    return OpsServer(snapshots, attention, guard, tokens=tokens, pictures=pictures, now_ms=lambda: feed.now_ms)


async def _lag(settings: Settings, group: str, names: Iterable[str]) -> list[TopicLag]:
    return await group_lag(settings.kafka, group, names)
