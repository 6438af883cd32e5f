"""The scoring worker: Faust delivers, the pipeline judges, the producer publishes, and only then the ledger acknowledges.

This is thin glue on purpose. Faust is used for group membership and delivery; it never acknowledges by itself here.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust
import structlog

from model.classifier import Classifier
from model.decode_pool import DecodePool
from schemas import topics
from schemas.errors import BucketMissing
from schemas.incoming import Record, kafka_time
from storage.store import ObjectStore
from streams.deadline import ends_within
from streams.faust_app import first_failure, make_app, why_not_assigned
from streams.http import HealthServer
from streams.ledger import Entry, Ledger
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.outcomes import Outcome
from streams.passage import Passage
from streams.pipeline import Pipeline
from streams.producer import Producer
from streams.retries import Retries
from streams.settings import Settings
from streams.topics import require

log = structlog.get_logger(__name__)

FAILED_DRAIN_S = 1.0
PROBE_S = 2.0
UNACKNOWLEDGED_PER_SLOT = 32


class ScoringService:
    """One scoring worker, from its checks at start to its last commit (see `streams.runner.Service`)."""

    def __init__(self, settings: Settings, *, store: ObjectStore, classifier: Classifier, decoders: DecodePool) -> None:
        self.metrics = WorkerMetrics()
        self._settings = settings
        self._decoders = decoders
        self._objects = Objects(store, settings.store)
        self._pipeline = Pipeline(
            settings, objects=self._objects, decoder=decoders, classifier=classifier, metrics=self.metrics
        )
        self._producer = Producer(settings.kafka, client_id=f"{settings.kafka.group}-outcomes")
        self._retries = Retries(settings.pipeline, lambda code: self.metrics.retries.labels(code).inc())
        self._ledger = Ledger[Any](lambda event: event.ack())
        self._slots = asyncio.Semaphore(settings.pipeline.in_flight)
        # Behind a reference that waits (its store is down) finished ones pile up unacknowledged: so many, then the intake waits.
        self._most_unacknowledged = UNACKNOWLEDGED_PER_SLOT * settings.pipeline.in_flight
        self._moved = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._draining = False
        self._data_dir = tempfile.TemporaryDirectory(prefix="deeptrace-")
        self._app = self._build_app()
        self._health = HealthServer(
            host=settings.http.host,
            port=settings.http.port,
            registry=self.metrics.registry,
            readiness={"draining": self._not_draining, "partitions": self._assigned, "store": self._store_reachable},
        )
        info = classifier.info
        self.metrics.model_info.labels(info.version, info.sha256, info.kind, info.training_data).set(1)
        self.metrics.count_decoder_restarts(lambda: decoders.restarts)
        self.metrics.in_flight.set_function(lambda: self._ledger.unfinished)

    async def start(self) -> None:
        """Check topics and buckets, then join the group. Refuses to start where a reference could not get its outcome."""
        await require(self._settings.kafka, (topics.IMAGES, topics.VERDICTS, topics.DEAD_LETTERS))
        missing = await self._objects.missing_buckets()
        if missing:
            raise BucketMissing(f"missing buckets: {', '.join(missing)}", remedy="Run `deeptrace storage init`.")
        await asyncio.to_thread(self._decoders.warm_up)
        await self._producer.start()
        await self._health.start()
        log.info("starting", group=self._settings.kafka.group, port=self._health.port)
        await self._app.start()

    async def failed(self) -> BaseException:
        """Return what this worker cannot go on after."""
        return await first_failure(self._app, self._failure)

    async def stop(self) -> None:
        """Take in nothing more, finish what is in flight, commit it, leave. What the drain time cuts off is delivered again later."""
        self._draining = True
        # After a failure the failed reference will never be finished: what else is in flight is delivered again just as well.
        drain_s = FAILED_DRAIN_S if self._failure.done() else self._settings.pipeline.drain_s
        if not await ends_within(self._app.stop(), drain_s):
            log.warning("drain time is over", unfinished=self._ledger.unfinished)
        for task in self._tasks:
            task.cancel()
        await self._pipeline.close()
        await self._producer.stop()
        await self._health.stop()
        await asyncio.to_thread(self._decoders.close)
        self._objects.close()
        self._data_dir.cleanup()

    def _build_app(self) -> faust.App:
        app = make_app(
            self._settings.kafka,
            group=self._settings.kafka.group,
            data_dir=Path(self._data_dir.name),
            buffer_records=2 * self._settings.model.max_batch,
        )
        images = app.topic(
            topics.IMAGES, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )

        @app.agent(images, name="classify", concurrency=1)  # type: ignore[untyped-decorator]
        async def classify(stream: Any) -> None:
            await self._take_in(stream.noack().events())

        return app

    async def _take_in(self, events: AsyncIterator[Any]) -> None:
        """Register each record in the order of delivery and start on it; waits while enough are in flight. Cannot raise."""
        async for event in events:
            message = event.message
            record = _record(message)
            entry = self._ledger.register(
                message.topic, message.partition, message.generation_id, message.offset, event
            )
            await self._slots.acquire()
            while self._ledger.unfinished > self._most_unacknowledged:
                self._moved.clear()
                await self._moved.wait()
            task = asyncio.create_task(self._settle(entry, record))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _settle(self, entry: Entry[Any], record: Record) -> None:
        try:
            outcomes = await self._pipeline.outcomes(record)
            await asyncio.gather(*(self._publish(outcome, record) for outcome in outcomes))
            self._ledger.finish(entry)
        except Exception as error:  # noqa: BLE001  # not one of our failure classes: nothing is acknowledged, the worker ends
            if not self._failure.done():
                self._failure.set_result(error)
        finally:
            self._slots.release()
            self._moved.set()

    async def _publish(self, outcome: Outcome, record: Record) -> None:
        passage = Passage.of(record)
        with passage.in_stage("publish", self.metrics.observe_stage):
            await self._retries.run(
                lambda: self._producer.send(
                    outcome.topic, key=outcome.key, value=outcome.value, headers=outcome.headers
                ),
                passage,
            )
        self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        if outcome.verdict is not None:
            verdict = outcome.verdict
            self.metrics.outcomes.labels("verdict").inc()
            self.metrics.verdicts.labels(verdict.verdict, verdict.predicted_source or "none").inc()
            self.metrics.batch_size.observe(verdict.timing.batch_size)
        elif outcome.error is not None:
            self.metrics.outcomes.labels("dead_letter").inc()
            self.metrics.dead_letters.labels(outcome.error.code).inc()
            log.info("dead letter", outcome_id=outcome.outcome_id, code=outcome.error.code)

    async def _not_draining(self) -> str | None:
        return "stopping" if self._draining else None

    async def _assigned(self) -> str | None:
        return why_not_assigned(self._app)

    async def _store_reachable(self) -> str | None:
        try:
            async with asyncio.timeout(PROBE_S):
                missing = await self._objects.missing_buckets()
        except TimeoutError:
            return f"no answer within {PROBE_S:g} s"
        except Exception as error:  # noqa: BLE001  # whatever the store answers, the probe says so
            return type(error).__name__
        return f"missing buckets: {', '.join(missing)}" if missing else None


def _record(message: Any) -> Record:
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple(message.headers or ()),
        timestamp=kafka_time(message.timestamp),
    )
