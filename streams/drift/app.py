"""The drift worker: the second Faust app. One agent turns verdicts into batches of observations by tenant, the other keeps their windows.

Thin glue. Faust delivers, assigns partitions and restores the table; what is counted, written and published is decided in `keeper` and
`windows`, which know no Faust.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
import structlog

from schemas import topics
from schemas.errors import ConfigError, MessageInvalid, MessageRejected
from schemas.observations import ObservationBatch
from streams.broker_access import drift_needs, require_access
from streams.deadline import ends_within
from streams.drift.changelog_table import ChangelogTable
from streams.drift.companions import Surroundings, companions
from streams.drift.inbox import MAX_BATCH, Inbox
from streams.drift.judging import make_judge, stored_references
from streams.drift.keeper import Arrival, TenantLimits, WindowKeeper
from streams.drift.metrics import DriftMetrics
from streams.drift.observing import Observing
from streams.drift.outgoing import Outgoing
from streams.drift.rows import Rows
from streams.drift.succession import Succession
from streams.drift.windows import WindowRules
from streams.faust_app import assigned, committed_offset, first_failure, make_app, why_not_assigned
from streams.http import HealthServer
from streams.lag import LagWatch, Standing
from streams.ledger import Entry, Ledger
from streams.partition_log import PartitionLog
from streams.producer import Producer
from streams.prompt_delivery import deliver_promptly
from streams.settings import Settings
from streams.standings import standings
from streams.topics import drift_table_changelog, plan

TABLE = "windows"
TICK_S = 1.0
MAX_ROWS_AT_ONCE = 32 * MAX_BATCH
LEAST_WEIGHT = 32
"""A record of one observation costs as much as that many in a larger one."""
OBSERVATION_RECORDS = 256
"""How many wait between the consumer and the agent: each may have 40 KiB."""
RECOVERY_LIMIT_S = 300
"""Faust's recovery can miss its own end signal (upstream issue 596); a worker that waits longer than this ends and is restarted."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A batch of observations with its place in the ledger; no arrival when the record was not readable."""

    entry: Entry[Any]
    generation: int
    arrival: Arrival | None


class DriftService:
    """One drift worker, from its checks at start to its last commit (see `streams.runner.Service`)."""

    def __init__(self, settings: Settings) -> None:
        self.metrics = DriftMetrics(settings.drift)
        self._settings = settings
        self._producer = Producer(settings.kafka, client_id=f"{settings.kafka.drift_group}-windows")
        self._outgoing = Outgoing(self._producer, settings.pipeline, self.metrics)
        self._ledger = Ledger[Any](lambda event: event.ack())
        self._inbox = Inbox[Delivered](max_batch=MAX_ROWS_AT_ONCE)
        self._verdicts = Inbox[Entry[Any]]()
        self._observing = Observing(settings.drift, self._outgoing.observe, self.metrics)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._keeping = asyncio.Lock()  # held while windows are being changed; a rebalance waits for it
        self._recovered = False
        self._waiting_since = time.monotonic()
        self._draining = False
        self._data_dir = tempfile.TemporaryDirectory(prefix="deeptrace-")
        self._app, table = self._build_app()
        self._references = stored_references(settings, self.metrics)
        self._keeper = WindowKeeper(
            table,
            self._outgoing.close,
            rules=WindowRules.of(settings.drift),
            limits=TenantLimits.of(settings.drift),
            judge=make_judge(settings, self._references),
            metrics=self.metrics,
        )
        self._companions = companions(Surroundings(settings, self.metrics))
        self._health = HealthServer(
            host=settings.http.host,
            port=settings.http.drift_port,
            registry=self.metrics.registry,
            readiness={"draining": self._not_draining, "partitions": self._assigned, "table": self._table_recovered},
            routes=[companion.routes for companion in self._companions],
        )
        self._lag = LagWatch(PartitionLog(settings.kafka), self._standings, self.metrics.lag)
        self.metrics.in_flight.set_function(lambda: self._ledger.unfinished)

    async def start(self) -> None:
        """Check the topics, then join the group. Refuses to start where the table could not be restored."""
        kafka = self._settings.kafka
        changelog = drift_table_changelog(kafka)
        await require_access(kafka, drift_needs(kafka))
        partitions = {state.spec.name: state.partitions for state in await plan(kafka)}
        if partitions[topics.OBSERVATIONS] != partitions[changelog]:
            raise ConfigError(
                f"{topics.OBSERVATIONS} and {changelog} differ in their number of partitions",
                why="a tenant's windows are kept in the changelog partition of the same number as its observations",
                remedy="Delete the changelog topic and run `deeptrace topics apply`; open windows are counted anew.",
            )
        await self._producer.start()
        await self._health.start()
        self._lag.start()
        if self._references is not None:
            await self._references.start()
        for companion in self._companions:
            await companion.start()
        log.info("starting", group=kafka.drift_group, port=self._health.port)
        self._start_task(self._observe())
        self._start_task(self._keep_windows())
        await self._app.start()

    async def failed(self) -> BaseException:
        """Return what this worker cannot go on after."""
        return await first_failure(self._app, self._failure)

    async def stop(self) -> None:
        """Take in nothing more, write and acknowledge what was delivered, commit, leave. Open windows stay in the table."""
        self._draining = True
        ends = await asyncio.gather(*(companion.stop() for companion in self._companions), return_exceptions=True)
        for error in ends:
            if isinstance(error, Exception):  # the windows are to be ended in order whatever becomes of these
                log.warning("a companion did not stop in order", error=type(error).__name__)
        if not await ends_within(self._app.stop(), self._settings.pipeline.drain_s):
            log.warning("drain time is over", unfinished=self._ledger.unfinished)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lag.stop()
        if self._references is not None:
            await self._references.stop()
        await self._producer.stop()
        await self._health.stop()
        self._data_dir.cleanup()

    def _build_app(self) -> tuple[faust.App, ChangelogTable]:
        app = make_app(
            self._settings.kafka,
            group=self._settings.kafka.drift_group,
            data_dir=Path(self._data_dir.name),
            buffer_records=2 * MAX_BATCH,
        )
        deliver_promptly(app)
        table = ChangelogTable(app, name=TABLE)
        app.tables.add(table)
        table.on_recover(self._on_recovered)
        app.on_partitions_revoked.connect(self._on_revoked)
        app.on_rebalance_complete.connect(_stop_flow)
        raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}

        @app.agent(app.topic(topics.VERDICTS, **raw), name="observe", concurrency=1)  # type: ignore[untyped-decorator]
        async def observe(stream: Any) -> None:
            await self._take_verdicts(stream.noack().events())

        observations = app.topic(topics.OBSERVATIONS, maxsize=OBSERVATION_RECORDS, **raw)

        @app.agent(observations, name="window", concurrency=1)  # type: ignore[untyped-decorator]
        async def window(stream: Any) -> None:
            await self._take_observations(stream.noack().events())

        return app, table

    async def _take_verdicts(self, events: AsyncIterator[Any]) -> None:
        """Hand each verdict on; waits while a batch is waiting there. Cannot raise."""
        async for event in events:
            await self._verdicts.put(self._register(event))

    async def _observe(self) -> None:
        """Publish what windows need of the verdicts, a batch at a time; they are acknowledged when the broker has it."""
        while True:
            batch = await self._verdicts.batch(idle_s=TICK_S)
            await self._observing.publish([entry.handle.message for entry in batch])
            for entry in batch:
                self._ledger.finish(entry)

    async def _take_observations(self, events: AsyncIterator[Any]) -> None:
        """Hand each batch of observations to the keeper's inbox; waits while enough are waiting there."""
        succession = Succession()
        async for event in events:
            message = event.message
            if not succession.follows(message.partition, message.generation_id, message.offset):
                self._fail(RuntimeError(f"records before offset {message.offset} of {message.topic} were left out"))
                return
            entry, arrival = self._register(event), None
            try:
                batch = ObservationBatch.from_bytes(message.value or b"")
                rows = Rows.from_message(batch)
                arrival = Arrival(
                    message.partition, message.offset, round(message.timestamp * 1000), batch.tenant, rows
                )
            except MessageInvalid as error:
                self._skip(message, error)
            weight = max(LEAST_WEIGHT, len(arrival.rows) if arrival is not None else 0)
            await self._inbox.put(Delivered(entry, message.generation_id, arrival), weight=weight)

    async def _keep_windows(self) -> None:
        ticked = time.monotonic()
        while True:
            batch = await self._inbox.batch(idle_s=TICK_S)
            async with self._keeping:
                if batch:
                    await self._apply(batch)
                if time.monotonic() - ticked >= TICK_S and self._recovered and not self._app.rebalancing:
                    await self._keeper.tick()
                    ticked = time.monotonic()
            self._check_recovery()

    async def _apply(self, batch: list[Delivered]) -> None:
        # what was delivered before a rebalance that is over will be delivered again, perhaps to another worker
        current = [one for one in batch if one.generation == self._app.consumer_generation_id]
        await self._keeper.apply([one.arrival for one in current if one.arrival is not None])
        self.metrics.batch_records.observe(sum(len(one.arrival.rows) for one in current if one.arrival is not None))
        for one in current:
            self._ledger.finish(one.entry)

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        """Let a change that is under way end before the partitions are given to others (Faust waits for this)."""
        async with self._keeping:
            self._recovered = False
            self._waiting_since = time.monotonic()
            self.metrics.latest.forget()

    async def _on_recovered(self) -> None:
        try:
            async with self._keeping:
                await self._keeper.recover()
                self._recovered = True
        except Exception as error:  # noqa: BLE001  # Faust drops what a recovery callback raises
            self._fail(error)

    def _standings(self) -> list[Standing]:
        return standings(
            self._ledger,
            [place for name in (topics.VERDICTS, topics.OBSERVATIONS) for place in assigned(self._app, name)],
            generation=self._app.consumer_generation_id,
            committed=lambda topic, partition: committed_offset(self._app, topic, partition),
        )

    def _check_recovery(self) -> None:
        waited_s = time.monotonic() - self._waiting_since
        if not self._recovered and waited_s > RECOVERY_LIMIT_S:
            raise TimeoutError(f"the table was not restored within {RECOVERY_LIMIT_S} s")

    def _register(self, event: Any) -> Entry[Any]:
        message = event.message
        return self._ledger.register(message.topic, message.partition, message.generation_id, message.offset, event)

    def _skip(self, message: Any, error: MessageRejected) -> None:
        self.metrics.verdicts.labels("unreadable").inc()
        log.warning("skipped", topic=message.topic, partition=message.partition, offset=message.offset, why=error.why)

    def _start_task(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_result(error)

    async def _not_draining(self) -> str | None:
        return "stopping" if self._draining else None

    async def _assigned(self) -> str | None:
        return why_not_assigned(self._app)

    async def _table_recovered(self) -> str | None:
        return None if self._recovered else "not restored yet"


def _stop_flow(app: faust.App, **_: Any) -> None:
    """Let nothing in between the end of the recovery and the resumption.

    Faust seeks to the committed offsets, then empties all queues, then resumes. The flow is on by then (it was needed for the
    changelog), so what is fetched between the seek and the emptying would be lost until a restart, and commits can go past it.
    """
    app.consumer.stop_flow()
