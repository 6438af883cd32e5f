"""The scoring worker: Faust delivers, the pipeline judges, the archive settles, the producer publishes, and only then the ledger acknowledges.

This is thin glue on purpose. Faust is used for group membership and delivery; it never acknowledges by itself here.
"""

import asyncio
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import faust
import structlog

from model.classifier import Classifier
from model.decode_pool import DecodePool
from schemas import topics
from schemas.errors import (
    BrokerUnavailable,
    BucketMissing,
    ConfigError,
    DependencyDownTooLong,
    DeviceLost,
    NoProgress,
    ObjectDenied,
    RecordsLeftOut,
)
from storage.store import ObjectStore
from streams.admission import REASONS, Admission
from streams.archive import Archive
from streams.broker_access import require_access, scoring_needs
from streams.crash_guard import CrashGuard
from streams.crash_journal import CrashJournal
from streams.deadline import ends_within
from streams.deliveries import Deliveries
from streams.desk import Desk
from streams.failpoints import Failpoints
from streams.faust_app import (
    assigned,
    committed_offset,
    first_failure,
    forget,
    is_rebalancing,
    make_app,
    why_not_assigned,
)
from streams.gate import Gate
from streams.http import HealthServer
from streams.lag import LagWatch, Standing
from streams.ledger import Entry, Ledger
from streams.letter_limit import LetterLimit
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.partition_log import PartitionLog
from streams.pipeline import Delivery, Pipeline
from streams.producer import Producer
from streams.releases.following import Following
from streams.releases.registry import Registry
from streams.retries import Retries
from streams.settings import Settings
from streams.settlement import Settlement
from streams.standings import standings
from streams.topic_probe import holds_records, refuse_stranded
from streams.watchdog import Watchdog

log = structlog.get_logger(__name__)

FAILED_DRAIN_S = 1.0
REBALANCE_GRACE_S = 3.0
"""The whole group waits for the slowest member; what is let go is delivered again."""
LEAVE_S = 2.0
STUCK_REBALANCES = 2  # times the time of a stall
PROBE_S = 2.0


class ScoringService:
    """One scoring worker, from its checks at start to its last commit (see `streams.runner.Service`)."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: ObjectStore,
        classifier: Classifier,
        decoders: DecodePool,
        registry: Registry | None = None,
    ) -> None:
        """Take the parts. `classifier` is the one to begin with; with a `registry` it follows the releases that the settings name."""
        self.metrics = WorkerMetrics()
        self._settings = settings
        self._decoders = decoders
        self._registry = registry
        self._following = Following(settings, classifier, registry, self.metrics)
        self._failpoints = Failpoints(settings.faults.failpoints)
        settled = settings.pipeline.outcomes == "settled"
        self._objects = Objects(store, settings.store, archive=settled)
        self._gate = Gate("object store", self._objects.probe, settings.pipeline)
        self._retries = Retries(settings.pipeline, lambda code: self.metrics.retries.labels(code).inc())
        self._archive = (
            Archive(self._objects, settings.store.outcome_bucket, retries=self._retries, gate=self._gate)
            if settled
            else None
        )
        self._journal = _open_journal(settings)
        self._guard = CrashGuard(self._journal)
        limit = LetterLimit(settings.pipeline)
        self._pipeline = Pipeline(
            settings,
            objects=self._objects,
            decoder=decoders,
            classifier=self._following.live,
            shadow=self._following.shadow,
            metrics=self.metrics,
            guard=self._guard,
            archive=self._archive,
            gate=self._gate,
        )
        self._producer = Producer(settings.kafka, client_id=f"{settings.kafka.group}-outcomes")
        self._settlement = Settlement(
            self._producer,
            archive=self._archive,
            limit=limit,
            retries=self._retries,
            metrics=self.metrics,
            failpoints=self._failpoints,
            at_once=settings.pipeline.in_flight,
        )
        self._admission = Admission(self._gate, limit)
        self._ledger = Ledger[Any](lambda event: event.ack())
        self._desk = Desk[Any](
            self._work,
            ledger=self._ledger,
            admission=self._admission,
            forget=self._forget,
            in_flight=settings.pipeline.in_flight,
        )
        self._deliveries = Deliveries(
            settings,
            ledger=self._ledger,
            desk=self._desk,
            committed=lambda topic, partition: committed_offset(self._app, topic, partition),
            leaving=lambda: self._draining or is_rebalancing(self._app),
        )
        self._draining = False
        self._judging_failed = True
        self._rebalancing_since = time.monotonic()
        self._letting_go: set[asyncio.Task[None]] = set()
        self._watchdog = Watchdog(
            stall_s=settings.pipeline.stall_s,
            finished=lambda: self._desk.finished,
            held_up=self._is_held_up,
            has_work=self._has_work,
        )
        self._lag = LagWatch(PartitionLog(settings.kafka), self._standings, self.metrics.lag)
        self._data_dir = tempfile.TemporaryDirectory(prefix="deeptrace-")
        self._app = self._build_app()
        self._health = HealthServer(
            host=settings.http.host,
            port=settings.http.port,
            registry=self.metrics.registry,
            readiness={
                "draining": self._not_draining,
                "partitions": self._assigned,
                "store": self._store_reachable,
                "intake": self._takes_in,
                "progress": self._progresses,
            },
        )
        self._expose()

    async def start(self) -> None:
        """Check topics, buckets and the store's promises, then join the group. Refuses to start where a reference could not get its outcome."""
        await require_access(
            self._settings.kafka, scoring_needs(self._settings.kafka, shadow=self._following.shadow is not None)
        )
        await refuse_stranded(self._settings.kafka)
        try:
            missing = await self._objects.missing_buckets()
        except ObjectDenied as error:
            raise ConfigError(
                "the object store does not let its user ask for a bucket", why=str(error), remedy=error.remedy
            ) from error
        if missing:
            raise BucketMissing(f"missing buckets: {', '.join(missing)}", remedy="Run `deeptrace storage init`.")
        if self._archive is not None:
            await self._archive.check()
        await asyncio.to_thread(self._decoders.warm_up)
        self.metrics.decoders_sandboxed.set(self._decoders.sandboxed)
        if not self._decoders.sandboxed:
            log.warning("decoders are not sandboxed", setting=self._settings.decode.sandbox)
        await self._producer.start()
        await self._health.start()
        self._following.start()
        self._lag.start()
        log.info("starting", group=self._settings.kafka.group, port=self._health.port)
        await self._app.start()

    async def failed(self) -> BaseException:
        """Return what this worker cannot go on after."""
        watching = asyncio.ensure_future(self._watchdog.stalled())
        failing = asyncio.ensure_future(first_failure(self._app, self._desk.failure))
        await asyncio.wait({watching, failing}, return_when=asyncio.FIRST_COMPLETED)
        failure: BaseException = failing.result() if failing.done() else watching.result()
        for waiting in (watching, failing):
            waiting.cancel()
        self._desk.fail(failure)
        return failure

    async def stop(self) -> None:
        """Take in nothing more, finish what is in flight, commit it, leave. What the drain time cuts off is delivered again later."""
        self._draining = True
        cause = self._desk.failure.result() if self._desk.failure.done() else None
        if self._journal is not None and isinstance(cause, NoProgress):
            # What hangs is in flight now. Cancelled, it would look as if it had been let go, and hang the next worker, too.
            await asyncio.to_thread(self._journal.close, orderly=False)
        # After a failure the failed reference will never be finished: what else is in flight is delivered again just as well.
        drain_s = FAILED_DRAIN_S if cause is not None else self._settings.pipeline.drain_s
        letting_go = asyncio.ensure_future(self._desk.let_go(drain_s))
        try:
            if not await ends_within(self._app.stop(), drain_s + LEAVE_S):
                log.warning("drain time is over", unfinished=self._ledger.unfinished)
        except Exception as error:  # noqa: BLE001  # whatever Faust raises at its end, ours is still to come
            log.warning("Faust did not stop in an orderly way", error=type(error).__name__)
        await letting_go
        await self._lag.stop()
        await self._following.stop()
        await self._gate.close()
        if not await ends_within(self._pipeline.close(), LEAVE_S):
            log.warning("a batch hangs")
        await self._producer.stop()
        await self._health.stop()
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close, orderly=cause is None or self._is_no_crash(cause))
        await asyncio.to_thread(self._decoders.close)
        if not await ends_within(asyncio.to_thread(self._objects.close), LEAVE_S):
            log.warning("a request to the store hangs")
        if self._registry is not None:
            self._registry.close()
        self._data_dir.cleanup()

    def _build_app(self) -> faust.App:
        app = make_app(
            self._settings.kafka,
            group=self._settings.kafka.group,
            data_dir=Path(self._data_dir.name),
            buffer_records=2 * self._settings.model.max_batch,
            on_rebalance=self._on_rebalance,
        )
        raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}

        @app.agent(app.topic(topics.IMAGES, **raw), name="classify", concurrency=1)  # type: ignore[untyped-decorator]
        async def classify(stream: Any) -> None:
            await self._deliveries.take(stream.noack().events())

        for step, topic in enumerate(topics.retry_topics(len(self._settings.kafka.retry_delays_s)), start=1):
            # An agent for each: in one topic all wait as long, so the first is the next that is due, and the others may wait behind it.
            # Without a bound: Faust delivers all topics in one loop, and a buffer that is full would hold up the images, too. What lies in it is
            # one fetch a partition at most, since the partition counts as full at once.
            waiting = app.topic(topic, **raw)
            waiting.maxsize = 0  # as an argument faust-streaming 0.15.3 takes it and drops it
            self._add_retry_agent(app, waiting, step)
        return app

    def _add_retry_agent(self, app: faust.App, topic: Any, step: int) -> None:
        @app.agent(topic, name=f"retry-{step}", concurrency=1)  # type: ignore[untyped-decorator]
        async def retry(stream: Any) -> None:
            await self._deliveries.take_retries(stream.noack().events(), step)

    async def _work(self, entry: Entry[Any], delivery: Delivery) -> None:
        found = await self._pipeline.outcomes(delivery)
        try:
            await self._settlement.finish_all(found, delivery.record)
        except Exception:
            self._judging_failed = False  # what is being judged just now has nothing to do with it
            raise
        entry.lane.unknown_in_a_row = (
            0 if any(passage.known for _, passage in found) else entry.lane.unknown_in_a_row + 1
        )
        self._ledger.finish(entry)
        self._failpoints.hit("after_ack")
        if self._failpoints.is_armed("after_commit"):
            await self._app.consumer.commit()
            self._failpoints.hit("after_commit")

    def _forget(self, event: Any) -> None:
        self.metrics.dropped.inc()
        forget(self._app, event)

    def _on_rebalance(self) -> None:
        """Let go of what is in hand, in bounded time: Faust waits for it, and the group waits for Faust."""
        self._rebalancing_since = time.monotonic()
        if self._draining:
            return
        task = asyncio.get_running_loop().create_task(self._desk.let_go(REBALANCE_GRACE_S))
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    def _standings(self) -> list[Standing]:
        names = (topics.IMAGES, *topics.retry_topics(len(self._settings.kafka.retry_delays_s)))
        return standings(
            self._ledger,
            [place for name in names for place in assigned(self._app, name)],
            generation=self._app.consumer_generation_id,
            committed=lambda topic, partition: committed_offset(self._app, topic, partition),
        )

    def _is_held_up(self) -> bool:
        return self._draining or bool(self._admission.refusals) or self._guard.holding > 0 or self._is_waiting()

    def _is_waiting(self) -> bool:
        """Whether all that is in hand waits for something that is down: the store, the broker, decoders. It waits so long and no longer."""
        waiting = self._retries.waiting + self._pipeline.waiting
        return 0 < self._desk.in_hand <= waiting

    async def _has_work(self) -> bool:
        """Whether references wait: in hand, or on the images topic behind what was delivered. Raises BrokerUnavailable."""
        if is_rebalancing(self._app):
            # Another member may hold it up, and its own watchdog sees to that; but Faust can also miss the end of a rebalance.
            return time.monotonic() - self._rebalancing_since > STUCK_REBALANCES * self._settings.pipeline.stall_s
        for place in assigned(self._app, topics.IMAGES):
            due = self._deliveries.next_offset(*place, self._app.consumer_generation_id)
            # Also with something in hand: it may be waiting for the broker.
            if await holds_records(self._settings.kafka, *place, due) or self._desk.in_hand:
                return True
        return False

    def _is_no_crash(self, cause: BaseException) -> bool:
        """Whether the worker ends for a reason that no reference in flight can be behind."""
        known = DependencyDownTooLong | ConfigError | BrokerUnavailable | RecordsLeftOut | DeviceLost
        return isinstance(cause, known) or not self._judging_failed

    def _expose(self) -> None:
        self.metrics.count_decoder_restarts(lambda: self._decoders.restarts)
        self.metrics.in_flight.set_function(lambda: self._ledger.unfinished)
        for reason in REASONS:
            self.metrics.paused.labels(reason).set_function(partial(self._paused, reason))

    def _paused(self, reason: str) -> float:
        return float(reason in self._admission.refusals)

    async def _not_draining(self) -> str | None:
        return "stopping" if self._draining else None

    async def _assigned(self) -> str | None:
        return why_not_assigned(self._app)

    async def _takes_in(self) -> str | None:
        suspects = ["references that ended the worker wait for one that does not"] if self._guard.holding else []
        return "; ".join([*self._admission.refusals.values(), *suspects]) or None

    async def _progresses(self) -> str | None:
        return self._watchdog.why_not_ready

    async def _store_reachable(self) -> str | None:
        try:
            async with asyncio.timeout(PROBE_S):
                missing = await self._objects.missing_buckets()
        except TimeoutError:
            return f"no answer within {PROBE_S:g} s"
        except Exception as error:  # noqa: BLE001  # whatever the store answers, the probe says so
            return type(error).__name__
        return f"missing buckets: {', '.join(missing)}" if missing else None


def _open_journal(settings: Settings) -> CrashJournal | None:
    if not settings.pipeline.journal_dir:
        return None
    kafka = settings.kafka
    return CrashJournal(Path(settings.pipeline.journal_dir), f"{kafka.group}-{kafka.instance_id or 'worker'}")
