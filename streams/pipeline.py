"""The way of one reference: bytes off a topic in, one published outcome out. Everything else in this folder serves this page."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from model.class_list import check_classes
from model.classifier import Classifier, Prediction
from model.decision import Decision, decide, why_not_assessable
from model.pixels import Header, Pixels
from schemas.errors import ImageTruncated, ObjectRefused, Rejection, StoreUnavailable, Transient
from schemas.incoming import Incoming, Intake, Record, Reference, RejectedReference
from schemas.retry import Retry
from schemas.verdict import Explanation
from streams.archive import Archive
from streams.batcher import MicroBatcher
from streams.compose import compose
from streams.crash_guard import CrashGuard
from streams.explain import Explainer, wants_overlay
from streams.failpoints import Failpoints
from streams.gate import Gate
from streams.metrics import WorkerMetrics
from streams.objects import Fetched, Objects, Original
from streams.outcomes import Outcome, Postponed, dead_letter_outcome, postponed, verdict_outcome
from streams.passage import Passage
from streams.releases.shadow import Shadow
from streams.reshipping import Reshipped, Reshipping
from streams.retries import Retries
from streams.settings import Settings

MANY_OBJECTS = 8
VIEWS = 3  # of an image that is shipped again: two batches of them lie in memory at most
PART_OF_THE_STORE = 10  # times as patient


@dataclass(frozen=True, slots=True)
class Delivery:
    """A record as it came off a topic. `record` is the original also where it came off a retry topic, which `retry` and `step` tell."""

    record: Record
    retry: Retry | None = None
    step: int = 0
    again: bool = False  # it may have been worked on before: an outcome may be there


@dataclass(frozen=True, slots=True)
class Job:
    """What the inference thread gets for one image."""

    pixels: Pixels
    explain: bool


@dataclass(frozen=True, slots=True)
class Doubt:
    """What the inference thread gets for one overlay: does it do better than a random map?"""

    pixels: Pixels
    prediction: Prediction


class Decoder(Protocol):
    """Bytes to pixels, under limits, in another process."""

    async def decode(self, data: bytes, *, seed: bytes) -> Pixels:
        """Raise an ImageRejected or DecodeTimeout of schemas.errors for whatever is not an image."""
        ...


class Pipeline:
    """Stages overlap: while one batch is judged the next is fetched and decoded and the last is published."""

    def __init__(
        self,
        settings: Settings,
        *,
        objects: Objects,
        decoder: Decoder,
        classifier: Classifier,
        metrics: WorkerMetrics,
        guard: CrashGuard | None = None,
        archive: Archive | None = None,
        gate: Gate | None = None,
        shadow: Shadow | None = None,
    ) -> None:
        """Take the parts of a worker. Without `guard`, `archive` and `gate` nothing is remembered of a reference but its outcome."""
        info = classifier.info
        check_classes(info.classes, version=info.version, training_data=info.training_data)
        self._guard = guard or CrashGuard(None)
        self._archive = archive
        self._gate = gate
        self._failpoints = Failpoints(settings.faults.failpoints)
        self._settings = settings
        self._objects = objects
        self._decoder = decoder
        self._classifier = classifier
        self._shadow = shadow
        self._metrics = metrics
        self._retries = Retries(settings.pipeline, lambda code: metrics.retries.labels(code).inc())
        measure = self._faithfulness if settings.pipeline.faithfulness else None
        self._explainer = Explainer(objects, settings.store, self._retries, gate=gate, measure=measure)

        def judge(jobs: Sequence[Job]) -> list[Prediction]:
            self._failpoints.judge(len(jobs))
            return classifier.predict([job.pixels for job in jobs], explain=[job.explain for job in jobs])

        def measured(doubts: Sequence[Doubt]) -> list[float | None]:
            return classifier.faithfulness([one.pixels for one in doubts], [one.prediction for one in doubts])

        self._batcher = MicroBatcher[Job, Prediction](judge, max_batch=settings.model.max_batch)
        self._doubts = MicroBatcher[Doubt, float | None](
            measured, max_batch=settings.model.max_batch, beside=self._batcher
        )
        self._reshipping = Reshipping(settings.pipeline, at_once=max(1, 2 * settings.model.max_batch // VIEWS))
        metrics.safe_batch_size.set_function(lambda: self._batcher.safe_batch)
        self._intake = Intake(
            buckets=frozenset(settings.store.image_buckets),
            overlay_bucket=settings.store.overlay_bucket,
            overlay_prefix=settings.store.overlay_prefix,
            outcome_bucket=settings.store.outcome_bucket,
        )
        self._room = asyncio.Semaphore(
            settings.pipeline.in_flight
        )  # a notification holds many references, a record one slot
        # Encoded images are the big ones (32 MiB at most): only so many lie in memory, however many references are in flight.
        self._raw_slots = asyncio.Semaphore(settings.store.fetch_threads + 2 * settings.decode.processes)

    async def outcomes(self, delivery: Delivery) -> list[tuple[Outcome | Postponed, Passage]]:
        """Return what becomes of each reference in the record: usually one, several for a bucket notification, none for a test event."""
        incoming = self._intake.read(delivery.record)
        if delivery.retry is not None:
            incoming = _that_waited(incoming, delivery.retry.outcome_id)
        if not incoming:
            self._metrics.ignored.inc()
        return list(await asyncio.gather(*(self._outcome(one, delivery) for one in incoming)))

    async def _outcome(self, incoming: Incoming, delivery: Delivery) -> tuple[Outcome | Postponed, Passage]:
        retry = delivery.retry
        passage = Passage.of(delivery.record, earlier_attempts=retry.attempts if retry else 0)
        self._metrics.observe_stage("queue", passage.queued_s)
        try:
            if isinstance(incoming, RejectedReference):
                raise incoming.error
            async with self._room:
                if delivery.again and self._archive is not None:
                    found = await self._archive.find(incoming.outcome_id, passage)
                    if found is not None:
                        passage.known = True
                        return found, passage
                passage.stage = "admit"
                async with self._guard.around(incoming.outcome_id):
                    return await self._judge(incoming, delivery.record, passage), passage
        except Transient as error:
            if (aside := self._postponed(incoming, delivery, error, passage)) is not None:
                return aside, passage
            return self._dead_letter(incoming, delivery, error, passage), passage
        except Rejection as error:
            return self._dead_letter(incoming, delivery, error, passage), passage

    def _dead_letter(
        self, incoming: Incoming, delivery: Delivery, error: Rejection | Transient, passage: Passage
    ) -> Outcome:
        return dead_letter_outcome(
            incoming.outcome_id, delivery.record, error, stage=passage.stage, attempts=passage.attempts
        )

    def _postponed(
        self, incoming: Incoming, delivery: Delivery, error: Transient, passage: Passage
    ) -> Postponed | None:
        """Return the reference for the next retry topic, or None when it has been on all that its error may be on."""
        delays = self._settings.kafka.retry_delays_s
        if delivery.step >= min(len(delays), len(delays) if error.rounds is None else error.rounds):
            return None
        now = datetime.now(UTC)
        return postponed(
            incoming.outcome_id,
            delivery.record,
            error,
            step=delivery.step + 1,
            not_before=now + timedelta(seconds=delays[delivery.step]),
            attempts=passage.attempts,
            first_seen=delivery.retry.first_seen if delivery.retry else now,
        )

    async def _judge(self, reference: Reference, record: Record, passage: Passage) -> Outcome:
        want, image_id = reference.ref.want, reference.ref.image_id
        self._failpoints.hit("before_fetch", image_id)
        original, seen = await self._retries.run(lambda: self._look(reference, passage), passage, gate=self._gate)
        reasons = why_not_assessable(seen)
        prediction, explanation = None, Explanation(status="skipped")
        final = Reshipped(Decision("not_assessable", reasons=reasons))
        if not reasons and isinstance(seen, Pixels):
            with passage.in_stage("infer", self._metrics.observe_stage):
                job = Job(seen, explain=want.overlay != "never")
                judged = await self._retries.run(lambda: self._batcher.submit(job), passage)
                prediction, passage.batch_size = judged.answer, judged.batch_size
                decision = decide(prediction, min_confidence=self._settings.pipeline.min_confidence)
                if self._shadow is not None:
                    self._shadow.offer(reference.outcome_id, reference.ref.tenant, image_id, seen, prediction)
                final = await self._reshipping.confirm(
                    decision, prediction, seen, seed=original.sha256, judge=lambda view: self._ask(view, passage)
                )
            self._failpoints.hit("after_judge", image_id)
            with passage.in_stage("overlay", self._metrics.observe_stage):
                wanted = wants_overlay(want, final.decision.verdict)
                explanation = await self._explainer.explain(
                    reference.outcome_id, seen, prediction, wanted=wanted, passage=passage
                )
            self._failpoints.hit("after_overlay", image_id)
        verdict = compose(
            record=record,
            reference=reference,
            original=original,
            seen=seen,
            model=prediction.model if prediction else self._classifier.info,
            prediction=prediction,
            decision=final.decision,
            explanation=explanation,
            timing=passage.timing(),
            stability_failed=final.failed,
        )
        return verdict_outcome(verdict, record)

    async def _ask(self, view: Pixels, passage: Passage) -> Prediction:
        job = Job(view, explain=False)
        return (await self._retries.run(lambda: self._batcher.submit(job), passage)).answer

    async def _faithfulness(self, pixels: Pixels, prediction: Prediction, passage: Passage) -> float | None:
        doubt = Doubt(pixels, prediction)
        return (await self._retries.run(lambda: self._doubts.submit(doubt), passage)).answer

    async def _look(self, reference: Reference, passage: Passage) -> tuple[Original, Pixels | Header]:
        async with self._raw_slots:
            with passage.in_stage("fetch", self._metrics.observe_stage):
                fetched = await self._fetch(reference, passage)
            self._failpoints.hit("after_fetch", reference.ref.image_id)
            with passage.in_stage("decode", self._metrics.observe_stage):
                seen = await self._decode(fetched)
        return fetched.original, seen

    async def _decode(self, fetched: Fetched) -> Pixels | Header:
        """Decode; a file that ends early, behind its header, is an image about which something can be said."""
        try:
            return await self._decoder.decode(fetched.data, seed=fetched.original.sha256)
        except ImageTruncated as truncated:
            if truncated.declared is None:
                raise
            return Header(*truncated.declared)

    async def _fetch(self, reference: Reference, passage: Passage) -> Fetched:
        """Fetch; a store that goes on serving others while it fails on this object is not down: the object is at fault."""
        try:
            return await self._objects.fetch(reference.ref.object)
        except StoreUnavailable as error:
            now = time.monotonic()
            since = passage.store_down_since = passage.store_down_since or now
            # Many objects at once is a part of the store that is down, which passes.
            patience = 1 if self._retries.waiting < MANY_OBJECTS else PART_OF_THE_STORE
            if now - since > patience * self._settings.pipeline.object_wait_s and self._objects.answered_at > since:
                raise ObjectRefused("the object store fails on this object alone", why=error.why) from error
            raise

    @property
    def waiting(self) -> int:
        """How many references wait for something that is down just now."""
        return self._retries.waiting

    async def close(self) -> None:
        """Finish what is being judged."""
        await self._doubts.close()
        await self._batcher.close()


def _that_waited(incoming: list[Incoming], outcome_id: str) -> list[Incoming]:
    """Return the one reference of a record that comes off a retry topic; the others of the record have their outcome."""
    waited = [one for one in incoming if one.outcome_id == outcome_id]
    if not waited and len(incoming) == 1:
        # Settings have changed, or its headers did not fit there: its outcome goes by the id under which it was put aside.
        waited = [replace(incoming[0], outcome_id=outcome_id)]
    return waited or incoming  # better one outcome too many than none
