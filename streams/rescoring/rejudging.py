"""Judges what an old verdict was about, through the very pipeline of the worker, and publishes the new verdict on the replay topic."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from model.classifier import Classifier
from schemas.cloud_event import Headers
from schemas.errors import BucketMissing, MessageInvalid
from schemas.incoming import Record
from schemas.verdict import Verdict
from storage.store import ObjectStore
from streams.crash_guard import CrashGuard
from streams.deadline import ends_within
from streams.gate import Gate
from streams.metrics import WorkerMetrics
from streams.objects import Objects
from streams.outcomes import Outcome
from streams.passage import Passage
from streams.pipeline import Decoder, Delivery, Pipeline
from streams.rescoring.counts import REPLAYED
from streams.rescoring.flips import Flips
from streams.rescoring.replayed import opinion_of, publication, reference_to, replayed
from streams.rescoring.terms import Judge
from streams.retries import Retries
from streams.settings import Settings

LEAVE_S = 2.0


class Sender(Protocol):
    """How a record leaves: `streams.producer.Producer` in a process."""

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Send one record; return once the broker has it."""


class Rejudging:
    """One old verdict at a time, many at once. What is at fault is a code, never an exception; what is down is waited for."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: ObjectStore,
        decoder: Decoder,
        classifier: Classifier,
        sender: Sender,
        name: str,
        judge: Judge,
        held: Callable[[], Awaitable[None]],
        guard: CrashGuard | None = None,
        flips: Flips | None = None,
    ) -> None:
        """Take the parts of a worker, and what of a replay's: nothing is published before `held` returns."""
        # Nothing is put aside for later: a replay that is run again is the later.
        settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"retry_delays_s": ()})})
        metrics = WorkerMetrics()
        self._objects = Objects(store, settings.store)
        self._gate = Gate("object store", self._objects.probe, settings.pipeline)
        self._retries = Retries(settings.pipeline)
        self._guard = guard or CrashGuard(None)
        self._pipeline = Pipeline(
            settings,
            objects=self._objects,
            decoder=decoder,
            classifier=classifier,
            metrics=metrics,
            guard=self._guard,
            gate=self._gate,
        )
        self._sender = sender
        self._name = name
        self._judge = judge
        self._held = held
        self.flips = flips or Flips()

    async def require_buckets(self) -> None:
        """Return if the configured buckets are there. Raises BucketMissing, StoreUnavailable."""
        if missing := await self._objects.missing_buckets():
            raise BucketMissing(f"missing buckets: {', '.join(missing)}", remedy="Run `deeptrace storage init`.")

    async def replay(self, old: Verdict, record: Record) -> str:
        """Judge again what `old`, which lies in `record`, is about, and return the result once the broker has it, or the code of what is at fault.

        Raises:
            DependencyDownTooLong: store or broker stayed away for `dependency_give_up_s`.
            DeviceLost, ConfigError: this process cannot go on.
        """
        judge = self._judge
        try:
            reference = reference_to(
                old, name=self._name, sha256=judge.sha256, overlay=judge.overlays, written_at=record.timestamp
            )
        except MessageInvalid as error:
            return error.code
        [(outcome, passage)] = await self._pipeline.outcomes(Delivery(reference))
        assert isinstance(outcome, Outcome), "without retry topics nothing is postponed"
        if outcome.verdict is None:
            return outcome.code or ""
        new, value = replayed(outcome.verdict, old)
        await self._send(publication(new, value, old, name=self._name, at=record), passage)
        self.flips.take(new, opinion_of(old), written_at=record.timestamp)
        return REPLAYED

    @property
    def why_waiting(self) -> str | None:
        """Return what is waited for just now, or None."""
        if (why := self._gate.why_closed) is not None:
            return why
        if self._guard.holding:
            return "images that ended this process wait for one that does not"
        return "the broker does not take verdicts" if self._retries.waiting else None

    async def close(self) -> None:
        """Let go of everything, in bounded time."""
        await self._gate.close()
        await ends_within(self._pipeline.close(), LEAVE_S)
        await ends_within(asyncio.to_thread(self._objects.close), LEAVE_S)

    async def _send(self, record: Record, passage: Passage) -> None:
        async def send() -> None:
            await self._held()
            await self._sender.send(record.topic, key=record.key, value=record.value, headers=record.headers)

        await self._retries.run(send, passage)
