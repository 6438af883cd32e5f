"""Asks the broker every few seconds how far the consumer groups are behind; whether it answers is what the page says of the broker."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import structlog

from schemas import topics
from schemas.errors import BrokerUnavailable, DeepTraceError, NotPermitted
from streams.lag import TopicLag
from streams.ops.attention import Attention
from streams.ops.feed import Behind, Feed
from streams.settings import KafkaSettings

LOOKED_AT_S: Final = 5.0
UNSEEN_S: Final = 60.0
ANSWER_S: Final = 15.0
"""The libraries wait a minute for a broker that hangs; the page should say so earlier."""

Ask = Callable[[str, Iterable[str]], Awaitable[Sequence[TopicLag]]]
"""Returns how far a group is behind on topics; `streams.lag.group_lag` of some broker, and raises what that raises."""

log = structlog.get_logger(__name__)


class BrokerLook:
    """Keeps lag and contact of the feed up to date. A group that may not be asked about costs its figure, nothing else."""

    def __init__(
        self,
        ask: Ask,
        groups: Iterable[tuple[str, tuple[str, ...]]],
        feed: Feed,
        attention: Attention,
        *,
        answer_s: float = ANSWER_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the groups, each with the topics that it reads."""
        self._answer_s = answer_s
        self._ask = ask
        self._groups = tuple(groups)
        self._feed = feed
        self._attention = attention
        self._clock = clock

    async def run(self) -> None:
        """Look for good; often only while somebody looks at the page."""
        while True:
            await self.look()
            self._feed.prune()
            for _ in range(int((UNSEEN_S - LOOKED_AT_S) / LOOKED_AT_S) + 1):
                await asyncio.sleep(LOOKED_AT_S)
                if self._attention.is_given:
                    break

    async def look(self) -> None:
        """Look once. Raises nothing."""
        found: list[Behind] = []
        for group, names in self._groups:
            try:
                found.append(self._behind(group, await self._answer(group, names)))
            except NotPermitted:
                found.append(Behind(group, why="this worker may not ask about it"))
            except BrokerUnavailable as error:
                self._feed.heard(fault=f"{error.message}: {error.why}" if error.why else error.message)
                return
            except DeepTraceError as error:
                self._feed.heard(fault=error.message)
                return
            except Exception as error:  # noqa: BLE001  # whatever it is, the page must not end the worker
                log.warning("the ops page does not know the lag", group=group, error=type(error).__name__)
                found.append(Behind(group, why=type(error).__name__))
        self._feed.lags(tuple(found))
        self._feed.heard()

    async def _answer(self, group: str, names: Iterable[str]) -> Sequence[TopicLag]:
        asking = asyncio.ensure_future(self._ask(group, names))
        try:
            done, _ = await asyncio.wait({asking}, timeout=self._answer_s)
        except asyncio.CancelledError:
            asking.cancel()
            raise
        if not done:
            asking.cancel()  # and left behind: what the libraries do with that is their affair
            raise BrokerUnavailable("the broker does not answer", why=f"not within {self._answer_s:g} s")
        return asking.result()

    def _behind(self, group: str, lags: Sequence[TopicLag]) -> Behind:
        if not lags:
            return Behind(group, why="its topics are missing, or may not be seen")
        now = self._clock()
        return Behind(group, sum(one.messages for one in lags), max(one.seconds(now) for one in lags))


def groups_of(settings: KafkaSettings) -> list[tuple[str, tuple[str, ...]]]:
    """Return the groups whose lag is shown: scoring and drift. Retry topics are left out, where waiting is no lag."""
    return [
        (settings.group, (topics.IMAGES,)),
        (settings.drift_group, (topics.VERDICTS, topics.OBSERVATIONS)),
    ]
