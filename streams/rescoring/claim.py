"""One process does a replay: how it shows that it is at it, and notices another."""

import asyncio
import math
import secrets
from typing import Final

from schemas.errors import BrokerUnavailable, CheckFailed, DependencyDownTooLong
from streams.rescoring.counts import Counts, Places
from streams.rescoring.past import Past

BEAT_S: Final = 1.0
"""How often is committed: a process that dies leaves so much for its successor to recognise on the replay topic."""
WATCH_S: Final = 3.0
"""How long a mark that was left open is watched: a process that still works writes it anew each second."""
LEASE_S: Final = 2.0
"""How long a commit allows to publish. Shorter than the watch: who was paused for so long that another may have begun asks first."""


class Claim:
    """Commits offsets and counts under a name of its own, again and again, also while nothing is finished."""

    def __init__(
        self,
        past: Past,
        name: str,
        *,
        give_up_s: float,
        watch_s: float = WATCH_S,
        beat_s: float = BEAT_S,
        lease_s: float = LEASE_S,
    ) -> None:
        self._past = past
        self._name = name
        self._give_up_s = give_up_s
        self._watch_s = watch_s
        self._beat_s = beat_s
        self._lease_s = lease_s
        self._held_until = -math.inf
        self._renewed = asyncio.Event()
        self._run = secrets.token_hex(8)
        self._beat = 0

    async def require_free(self, found: Places) -> None:
        """Return if nobody is at it who left the marks that were `found`.

        Raises:
            CheckFailed: somebody is.
        """
        if not any(mark.is_open for _, mark in found.values()):
            return
        await asyncio.sleep(self._watch_s)
        now = await self._past.marks()
        if any(now[number][1].beat != mark.beat for number, (_, mark) in found.items() if number in now):
            raise self._taken_over()

    async def commit(self, counts: Counts, *, is_open: bool) -> None:
        """Commit how far it is. Raises BrokerUnavailable."""
        self._beat += 1
        began_at = asyncio.get_running_loop().time()
        if places := counts.places(run=self._run, beat=self._beat, is_open=is_open):
            await self._past.commit(places)
        self._held_until = began_at + self._lease_s
        self._renewed.set()
        self._renewed = asyncio.Event()

    async def held(self) -> None:
        """Return while nobody else can have begun: at once where the last commit is young, else after the next one."""
        while not self.is_held:
            await self._renewed.wait()

    @property
    def is_held(self) -> bool:
        """Whether the last commit is so young that nobody else can have begun."""
        return asyncio.get_running_loop().time() < self._held_until

    async def keep(self, counts: Counts) -> None:
        """Commit each second, until cancelled.

        Raises:
            CheckFailed: another process has begun; its marks are left alone.
            DependencyDownTooLong: the broker took no commit for `give_up_s`.
        """
        loop = asyncio.get_running_loop()
        answered_at = loop.time()
        while True:
            await asyncio.sleep(self._beat_s)
            try:
                await self._require_ours()
                await self.commit(counts, is_open=True)
                answered_at = loop.time()
            except BrokerUnavailable as error:
                if loop.time() - answered_at > self._give_up_s:
                    raise DependencyDownTooLong(error.message, why=error.why, remedy=error.remedy) from error

    async def let_go(self, counts: Counts, *, quiet: bool) -> None:
        """Commit for the last time, with marks that say that nobody is at it. What is not committed is recognised on the replay topic.

        Raises:
            BrokerUnavailable: unless `quiet`.
            CheckFailed: another process has begun; its marks are left alone.
        """
        try:
            await self._require_ours()
            await self.commit(counts, is_open=False)
        except BrokerUnavailable as error:
            if not quiet:
                raise BrokerUnavailable(
                    "the broker does not take the last commit", why=error.why, remedy="Run the same command again."
                ) from error

    async def _require_ours(self) -> None:
        if {mark.run for _, mark in (await self._past.marks()).values()} - {self._run}:
            raise self._taken_over()

    def _taken_over(self) -> CheckFailed:
        return CheckFailed(
            f"the replay {self._name} runs in another process",
            why="its offsets move without us",
            remedy="Let it end, or stop it; then the same command goes on.",
        )
