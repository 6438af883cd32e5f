"""The narrator: reads verdicts, puts those into words that are worth it, publishes them. Nothing on the way of a verdict knows of it."""

import asyncio
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import structlog

from schemas import topics
from schemas.errors import AnswerUnusable, MessageInvalid, NarrationFailed
from schemas.narrative import SelectedFor
from schemas.verdict import Verdict
from streams.broker_access import narrator_needs, require_access
from streams.deadline import ends_within
from streams.http import HealthServer
from streams.intake import Intake, Place
from streams.ledger import Entry
from streams.narrator.breaker import Breaker
from streams.narrator.budget import DailyBudget
from streams.narrator.claude import Claude
from streams.narrator.metrics import WRITTEN, NarratorMetrics, Skip
from streams.narrator.narrating import Narrating, Skipped
from streams.narrator.publishing import publish
from streams.narrator.selection import selected_for
from streams.producer import Producer
from streams.settings import Settings

COMMIT_S: Final = 1.0
MAX_UNFINISHED: Final = 10_000
LEAVE_S: Final = 5.0
REMEMBERED: Final = 10_000

log = structlog.get_logger(__name__)


class NarratorService:
    """One narrator, from its checks at start to its last commit (see `streams.runner.Service`)."""

    def __init__(self, settings: Settings) -> None:
        """Put it together; connects to nothing.

        Raises:
            ConfigError: there is no key, or what is spent of the budget cannot be kept.
        """
        own = settings.narrator
        self.metrics = NarratorMetrics()
        self._settings = settings
        self._claude = Claude(own)
        self._breaker = Breaker(
            failures_in_a_row=own.failures_in_a_row, pause_first_s=own.pause_first_s, pause_last_s=own.pause_last_s
        )
        budget = DailyBudget(Path(own.state_dir), own.tokens_per_day)
        self.metrics.budget_left.set(budget.left())
        self._narrating = Narrating(self._claude, own, budget=budget, breaker=self._breaker, metrics=self.metrics)
        self._producer = Producer(settings.kafka, client_id=settings.kafka.narrator_group)
        self._intake = Intake(settings.kafka, topics.VERDICTS, settings.kafka.narrator_group)
        self._slots = asyncio.Semaphore(own.in_flight)
        self._told: OrderedDict[str, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: set[asyncio.Task[None]] = set()
        self._finished = asyncio.Event()
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._draining = False
        self._health = HealthServer(
            host=settings.http.host,
            port=settings.http.narrator_port,
            registry=self.metrics.registry,
            readiness={"draining": self._not_draining, "partitions": self._assigned, "claude": self._api_well},
        )
        self.metrics.in_flight.set_function(lambda: self._intake.unfinished)
        self.metrics.paused.set_function(lambda: self._breaker.why_open is not None)

    async def start(self) -> None:
        """Check rights, topics and key, then join the group. An API that is away does not hinder the start."""
        kafka, own = self._settings.kafka, self._settings.narrator
        api = "accepted"
        try:
            await self._claude.check()
        except NarrationFailed as error:
            api = error.why
        await require_access(kafka, narrator_needs(kafka))
        await self._producer.start()
        await self._health.start()
        await self._intake.start()
        self._start(self._loops, self._take_in())
        self._start(self._loops, self._commit())
        log.info(
            "starting", group=kafka.narrator_group, port=self._health.port, model=own.model, api=api, select=own.select
        )

    async def failed(self) -> BaseException:
        """Return only when the service cannot go on."""
        return await self._failure

    async def stop(self) -> None:
        """Finish what is being asked within the drain time, commit, leave the group. What is cut off is delivered again."""
        self._draining = True
        await _end(self._loops)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._settings.pipeline.drain_s)
            if late:
                log.warning("drain time is over", unfinished=len(late))
        await _end(self._tasks)
        await ends_within(self._intake.commit(), LEAVE_S)
        await ends_within(self._intake.stop(), LEAVE_S)
        await self._producer.stop()
        await self._claude.close()
        await self._health.stop()

    async def _take_in(self) -> None:
        """Decide on each verdict in turn; wait while enough are being asked about."""
        while True:
            if self._intake.unfinished >= MAX_UNFINISHED:
                await asyncio.sleep(COMMIT_S)
                continue
            for entry, record in await self._intake.batch():
                try:
                    verdict = Verdict.from_bytes(record.value or b"")
                except MessageInvalid as error:
                    log.warning("skipped", partition=record.partition, offset=record.offset, why=error.why)
                    self._skip(entry, "unreadable")
                    continue
                why = selected_for(verdict, self._settings.narrator)
                if (skip := self._why_skipped(verdict, record, why)) is not None:
                    self._skip(entry, skip)
                    continue
                await self._slots.acquire()
                self._start(self._tasks, self._tell(entry, verdict, why))

    def _why_skipped(self, verdict: Verdict, record: Any, why: tuple[SelectedFor, ...]) -> Skip | None:
        if not why:
            return "not_selected"
        if time.time() - record.timestamp / 1000 > self._settings.narrator.max_age_s:
            return "old"
        if verdict.outcome_id in self._told:
            return "repeat"
        return "paused" if self._breaker.is_pausing else None

    async def _tell(self, entry: Entry[Place], verdict: Verdict, why: tuple[SelectedFor, ...]) -> None:
        try:
            try:
                narrative = await self._narrating.narrate(verdict, why)
            except Skipped as skipped:
                self._skip(entry, skipped.reason)
                return
            except NarrationFailed as error:
                result = error.fault if isinstance(error, AnswerUnusable) else error.code
                log.warning("not told", outcome_id=verdict.outcome_id, result=result, why=error.why)
            else:
                await publish(self._producer, narrative, self._settings.pipeline)
                result = WRITTEN
            self.metrics.narratives.labels(result).inc()
            self._remember(verdict.outcome_id)
            self._intake.finish(entry)
            self._finished.set()
        finally:
            self._slots.release()

    def _remember(self, outcome_id: str) -> None:
        """A verdict may come again (another delivery, a producer that sent twice); what is done is not paid for a second time."""
        self._told[outcome_id] = None
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    def _skip(self, entry: Entry[Place], reason: Skip) -> None:
        self.metrics.skipped.labels(reason).inc()
        self._intake.finish(entry)

    async def _commit(self) -> None:
        """Commit at once after a narrative, so that a narrator that is killed does not pay for it again, and every second otherwise."""
        while True:
            try:
                async with asyncio.timeout(COMMIT_S):
                    await self._finished.wait()
            except TimeoutError:
                pass
            self._finished.clear()
            await self._intake.commit()

    def _start(self, tasks: set[asyncio.Task[None]], work: Any) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._failure.done():
            self._failure.set_result(error)

    async def _not_draining(self) -> str | None:
        return "stopping" if self._draining else None

    async def _assigned(self) -> str | None:
        return None if self._intake.is_assigned else "none assigned"

    async def _api_well(self) -> str | None:
        return self._breaker.why_open


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    left = list(tasks)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
