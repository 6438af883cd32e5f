"""One run of a replay: goes on where the last one ended, however that ended, and leaves what the next one needs."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, Literal

from schemas.errors import BrokerUnavailable, CheckFailed, DependencyDownTooLong, MessageInvalid
from schemas.incoming import Record
from schemas.verdict import Verdict
from streams.gate import backoff_s
from streams.ledger import Entry
from streams.rescoring.claim import Claim
from streams.rescoring.counts import (
    LEFT_OUT,
    REPEATED,
    REPLAYED,
    UNREADABLE,
    Counts,
    Step,
)
from streams.rescoring.flips import Place
from streams.rescoring.past import Past, Spans, left_of, without_expired
from streams.rescoring.rejudging import Rejudging
from streams.rescoring.replayed import replayed_id
from streams.rescoring.terms import Mark, Terms, require_room, require_same
from streams.rescoring.throttle import Throttle
from streams.settings import Settings

Ending = Literal["complete", "limit", "stopped"]


class Run:
    """Begin, go on, end. Verdicts are taken in the order of each partition, judged at most `in_flight` at once, and counted without a gap."""

    def __init__(
        self,
        settings: Settings,
        *,
        name: str,
        asked: Terms,
        past: Past,
        rejudging: Rejudging,
        throttle: Throttle,
        limit: int | None = None,
        claim: Claim,
    ) -> None:
        self._settings = settings
        self._name = name
        self.terms = asked
        self._past = past
        self._rejudging = rejudging
        self._throttle = throttle
        self._limit = limit
        self._claim = claim
        self._beating: asyncio.Future[None] | None = None
        self._slots = asyncio.Semaphore(settings.pipeline.in_flight)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._next: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._taken = set[str]()
        self._published = set[Place]()
        self.begun = 0
        self.counts = Counts({})

    async def begin(self) -> Spans:
        """Agree on the terms, those of the first run, claim the group, and return what is still to be read.

        Raises:
            UsageError: the replay was begun on other terms, or they are too long.
            CheckFailed: another process is at it.
            BrokerUnavailable
        """
        found = await self._past.marks()
        if found:
            stored = next(mark.terms for _, mark in found.values())
            require_same(self._name, stored, self.terms)
            self.terms = stored
            await self._claim.require_free(found)
            found = without_expired(found, await self._past.beginnings())
        else:
            spans = await self._past.spans(self.terms.selection)
            found = {
                number: (begin, Mark(terms=self.terms, begin=begin, end=end)) for number, (begin, end) in spans.items()
            }
            for _, mark in found.values():
                require_room(mark)
        self.counts = Counts(found)
        await self._claim.commit(self.counts, is_open=True)
        self._beating = asyncio.ensure_future(self._claim.keep(self.counts))
        left = left_of(found)
        self._next = {number: begin for number, (begin, _) in left.items()}
        self._ends = {number: end for number, (_, end) in left.items()}
        return left

    async def recall(self, published: AsyncIterator[Record]) -> None:
        """Read what earlier runs have published, so that nothing is published twice; `begin` comes first."""
        judge = self.terms.judge
        self._published = await self._rejudging.flips.take_all(
            published, name=self._name, sha256=judge.sha256, beyond=self._next
        )

    async def go_on(self, stop: asyncio.Event) -> Ending:
        """Replay until the end, the limit, or `stop`; then finish what is under way, in `drain_s`, and commit.

        Raises what the replay cannot go on after: DependencyDownTooLong, DeviceLost, ConfigError, CheckFailed (another process took over). What
        was finished is committed all the same.
        """
        assert self._beating is not None, "begin() comes first"
        work, beating = asyncio.ensure_future(self._work()), self._beating
        stopping = asyncio.ensure_future(stop.wait())
        try:
            ends: set[asyncio.Future[Any]] = {work, beating, stopping, self._failure}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            failure = self._failed(work, beating)
            ending: Ending = work.result() if work.done() and failure is None else "stopped"
            await _end(work)
            if self._tasks and failure is None:
                await asyncio.wait(self._tasks, timeout=self._settings.pipeline.drain_s)
                failure = self._failed(beating)
        finally:
            left: list[asyncio.Future[Any]] = [work, beating, stopping, *self._tasks]
            for task in left:
                await _end(task)
        if not isinstance(failure, CheckFailed):  # another's group is left alone
            await self._claim.let_go(self.counts, quiet=failure is not None)
        if failure is not None:
            raise failure
        return "complete" if self.counts.is_complete else ending

    async def close(self) -> None:
        """Let go, also where nothing came of it: the claim is not kept up any more."""
        if self._beating is not None:
            await _end(self._beating)

    async def _work(self) -> Ending:
        failures, since = 0, 0.0
        loop = asyncio.get_running_loop()
        while True:
            before = dict(self._next)
            try:
                if not await self._take_all():
                    await self._all_done()
                    return "limit"
            except BrokerUnavailable as error:
                failures, since = (failures + 1, since or loop.time()) if before == self._next else (0, loop.time())
                if loop.time() - since > self._settings.pipeline.dependency_give_up_s:
                    raise DependencyDownTooLong(error.message, why=error.why, remedy=error.remedy) from error
                await asyncio.sleep(backoff_s(self._settings.pipeline, failures))
            else:
                await self._all_done()
                return "complete"

    async def _take_all(self) -> bool:
        """Start on everything that is left to read; return whether there was no limit in the way."""
        patience_s = self._settings.pipeline.dependency_give_up_s
        left = {number: (self._next[number], end) for number, end in self._ends.items()}
        async with aclosing(self._past.read(left, patience_s=patience_s)) as batches:
            async for partition, records in batches:
                if not records:
                    self.counts.read_out(partition)
                for record in records:
                    if not await self._take(record):
                        return False
                    self._next[partition] = record.offset + 1
        return True

    async def _take(self, record: Record) -> bool:
        """Start on a record, once there is room and time for it; return False where it would be one too many."""
        try:
            old = Verdict.from_bytes(record.value or b"")
        except MessageInvalid:
            self._note(record, UNREADABLE)
            return True
        if not self.terms.selection.takes(old, written_at=record.timestamp):
            self._note(record, LEFT_OUT)
            return True
        new_id = replayed_id(old.outcome_id, name=self._name, sha256=self.terms.judge.sha256)
        if (record.partition, record.offset) in self._published:
            self._note(record, REPLAYED)
        elif new_id in self._taken or self._rejudging.flips.knows(new_id):
            self._note(record, REPEATED)
        else:
            if self._limit is not None and self.begun >= self._limit:
                return False
            await self._slots.acquire()
            try:
                await self._throttle.take()
            except BaseException:
                self._slots.release()
                raise
            self.begun += 1
            self._taken.add(new_id)
            self._start(self._replay(self.counts.register(record.partition, record.offset), new_id, old, record))
        return True

    def _note(self, record: Record, result: str) -> None:
        self.counts.finish(self.counts.register(record.partition, record.offset), result)

    async def _replay(self, entry: Entry[Step], new_id: str, old: Verdict, record: Record) -> None:
        try:
            result = await self._rejudging.replay(old, record)
        finally:
            self._slots.release()
        self.counts.finish(entry, result)
        if result == REPLAYED:
            self._taken.discard(new_id)  # the pairs know it now

    async def _all_done(self) -> None:
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failure.done():
            self._failure.set_result(error)

    def _failed(self, *tasks: "asyncio.Future[Any]") -> BaseException | None:
        if self._failure.done():
            return self._failure.result()
        return next(
            (task.exception() for task in tasks if task.done() and not task.cancelled() and task.exception()), None
        )


async def _end(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
