"""The way of one reference: bytes off a topic in, one published outcome out. Everything else in this folder serves this page."""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from model.classifier import Classifier, Prediction
from model.pixels import Pixels
from schemas.errors import ObjectRefused, Rejection, StoreUnavailable, Transient
from schemas.incoming import Incoming, Intake, Record, Reference, RejectedReference
from streams.batcher import MicroBatcher
from streams.compose import compose
from streams.decision import MIN_ASSESSABLE_PX, NOT_ASSESSABLE, check_classes, decide
from streams.explain import Explainer, wants_overlay
from streams.metrics import WorkerMetrics
from streams.objects import Fetched, Objects, Original
from streams.outcomes import Outcome, dead_letter_outcome, verdict_outcome
from streams.passage import Passage
from streams.retries import Retries
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Job:
    """What the inference thread gets for one image."""

    pixels: Pixels
    explain: bool


class Decoder(Protocol):
    """Bytes to pixels, under limits, in another process."""

    async def decode(self, data: bytes, *, seed: bytes) -> Pixels:
        """Raise an ImageRejected or DecodeTimeout of schemas.errors for whatever is not an image."""
        ...


class Pipeline:
    """Stages overlap: while one batch is judged the next is fetched and decoded and the last is published."""

    def __init__(
        self, settings: Settings, *, objects: Objects, decoder: Decoder, classifier: Classifier, metrics: WorkerMetrics
    ) -> None:
        check_classes(classifier.info.classes)
        self._settings = settings
        self._objects = objects
        self._decoder = decoder
        self._model = classifier.info
        self._metrics = metrics
        self._retries = Retries(settings.pipeline, lambda code: metrics.retries.labels(code).inc())
        self._explainer = Explainer(objects, settings.store, self._retries)
        self._batcher = MicroBatcher[Job, Prediction](
            lambda jobs: classifier.predict([job.pixels for job in jobs], explain=[job.explain for job in jobs]),
            max_batch=settings.model.max_batch,
        )
        self._intake = Intake(
            buckets=frozenset(settings.store.image_buckets),
            overlay_bucket=settings.store.overlay_bucket,
            overlay_prefix=settings.store.overlay_prefix,
        )
        self._room = asyncio.Semaphore(
            settings.pipeline.in_flight
        )  # a notification holds many references, a record one slot
        # Encoded images are the big ones (32 MiB at most): only so many lie in memory, however many references are in flight.
        self._raw_slots = asyncio.Semaphore(settings.store.fetch_threads + 2 * settings.decode.processes)

    async def outcomes(self, record: Record) -> list[Outcome]:
        """Return one outcome for each reference in `record`: usually one, several for a bucket notification, none for a test event."""
        incoming = self._intake.read(record)
        if not incoming:
            self._metrics.ignored.inc()
        return list(await asyncio.gather(*(self._outcome(one, record) for one in incoming)))

    async def _outcome(self, incoming: Incoming, record: Record) -> Outcome:
        passage = Passage.of(record)
        self._metrics.observe_stage("queue", passage.queued_s)
        try:
            if isinstance(incoming, RejectedReference):
                raise incoming.error
            async with self._room:
                return await self._judge(incoming, record, passage)
        except (Rejection, Transient) as error:
            return dead_letter_outcome(
                incoming.outcome_id, record, error, stage=passage.stage, attempts=passage.attempts
            )

    async def _judge(self, reference: Reference, record: Record, passage: Passage) -> Outcome:
        want = reference.ref.want
        original, pixels = await self._retries.run(lambda: self._look(reference, passage), passage)
        prediction, decision = None, NOT_ASSESSABLE
        if min(pixels.width, pixels.height) >= MIN_ASSESSABLE_PX:
            with passage.in_stage("infer", self._metrics.observe_stage):
                job = Job(pixels, explain=want.overlay != "never")
                judged = await self._retries.run(lambda: self._batcher.submit(job), passage)
            prediction, passage.batch_size = judged.answer, judged.batch_size
            decision = decide(
                self._model.classes, prediction.probs, min_confidence=self._settings.pipeline.min_confidence
            )
        with passage.in_stage("overlay", self._metrics.observe_stage):
            wanted = wants_overlay(want, decision.verdict)
            explanation = await self._explainer.explain(
                reference.outcome_id, pixels, prediction, wanted=wanted, passage=passage
            )
        verdict = compose(
            record=record,
            reference=reference,
            original=original,
            pixels=pixels,
            model=self._model,
            prediction=prediction,
            decision=decision,
            explanation=explanation,
            timing=passage.timing(),
        )
        return verdict_outcome(verdict, record)

    async def _look(self, reference: Reference, passage: Passage) -> tuple[Original, Pixels]:
        async with self._raw_slots:
            with passage.in_stage("fetch", self._metrics.observe_stage):
                fetched = await self._fetch(reference, passage)
            with passage.in_stage("decode", self._metrics.observe_stage):
                pixels = await self._decoder.decode(fetched.data, seed=fetched.original.sha256)
        return fetched.original, pixels

    async def _fetch(self, reference: Reference, passage: Passage) -> Fetched:
        """Fetch; a store that goes on serving others while it fails on this object is not down: the object is at fault."""
        try:
            return await self._objects.fetch(reference.ref.object)
        except StoreUnavailable as error:
            now = time.monotonic()
            since = passage.store_down_since = passage.store_down_since or now
            if now - since > self._settings.pipeline.object_wait_s and self._objects.answered_at > since:
                raise ObjectRefused("the object store fails on this object alone", why=error.why) from error
            raise

    async def close(self) -> None:
        """Finish what is being judged."""
        await self._batcher.close()
