"""The shadow: a candidate that judges the same images beside the champion. Nothing waits for it, and nothing it does reaches a verdict."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from model.classifier import Classifier, Prediction
from model.decision import decide
from model.pixels import Pixels
from schemas import topics
from schemas.cloud_event import Headers, write_headers
from schemas.errors import DeepTraceError
from schemas.shadow import Opinion, ShadowVerdict
from schemas.topics import record_key
from streams.batcher import MicroBatcher
from streams.deadline import ends_within
from streams.metrics import WorkerMetrics

log = structlog.get_logger(__name__)

SHADOW_TYPE: Final = "deeptrace.shadow-verdict.v1"
SOURCE: Final = "/deeptrace/scoring/shadow"
WAITING: Final = 64
"""Images that may wait for the candidate; what comes beyond is dropped and counted. About 2 MB each."""
MAX_BATCH: Final = 8
"""Small: on a GPU both models take turns, and the champion's batch waits for what the candidate has begun."""
STOP_S: Final = 2.0


class Sender(Protocol):
    """How a record leaves: `streams.producer.Producer` in a worker."""

    async def start(self) -> None:
        """Connect; may raise, and is then tried again with the next image."""

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Send one record."""

    async def stop(self) -> None:
        """Disconnect."""


class Shadow:
    """Judges what it is offered with the candidate, as time permits, and publishes both opinions to the shadow topic.

    Both opinions are the models' own rule on the image as it was uploaded. Re-shipped views are left out, so where those make the
    published verdict inconclusive, the champion's opinion here is the one before that.
    """

    def __init__(
        self, sender: Sender, metrics: WorkerMetrics, *, min_confidence: float | None = None, waiting: int = WAITING
    ) -> None:
        self._sender = sender
        self._metrics = metrics
        self._min_confidence = min_confidence
        self._most_waiting = waiting
        self._candidate: Classifier | None = None
        self._batcher = MicroBatcher[Pixels, Prediction](self._judge, max_batch=MAX_BATCH)
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting: asyncio.Lock = asyncio.Lock()
        self._connected = False
        self._said = ""  # the failure that was logged last

    def take(self, candidate: Classifier | None) -> None:
        """Judge with `candidate` from the next batch on, or not at all. May be called from any thread."""
        self._candidate = candidate

    @property
    def candidate(self) -> Classifier | None:
        """Return who is on trial."""
        return self._candidate

    def offer(self, outcome_id: str, tenant: str, image_id: str, pixels: Pixels, prediction: Prediction) -> None:
        """Offer an image that the champion has just judged. Returns at once and raises nothing.

        Left out is what does not fit into the queue, what was judged for other pixels than the candidate's, and everything while
        champion and candidate are the same model.
        """
        candidate = self._candidate
        if candidate is None or candidate.info.sha256 == prediction.model.sha256:
            return
        if candidate.info.preprocess_id != pixels.preprocess_id or len(self._tasks) >= self._most_waiting:
            self._metrics.shadow.labels("dropped").inc()
            return
        task = asyncio.get_running_loop().create_task(self._work(outcome_id, tenant, image_id, pixels, prediction))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Let go of what waits, in bounded time."""
        self._candidate = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not await ends_within(self._batcher.close(), STOP_S):
            log.warning("a batch of the shadow hangs")
        if self._connected:
            await self._sender.stop()

    async def _work(self, outcome_id: str, tenant: str, image_id: str, pixels: Pixels, prediction: Prediction) -> None:
        try:
            judged = await self._batcher.submit(pixels)
            verdict = ShadowVerdict(
                outcome_id=outcome_id,
                tenant=tenant,
                judged=datetime.now(UTC),
                champion=self._opinion(prediction),
                candidate=self._opinion(judged.answer),
            )
            await self._publish(verdict, record_key(tenant, image_id))
        except Exception as error:  # noqa: BLE001  # whatever befalls the candidate, its image has its verdict
            result = error.code if isinstance(error, DeepTraceError) else "unexpected"
            if result != self._said:  # not once for each image while a broker is away
                self._said = result
                log.warning("shadow failed", outcome_id=outcome_id, result=result, error=type(error).__name__)
            self._metrics.shadow.labels("failed").inc()
        else:
            self._said = ""
            self._metrics.shadow.labels("published").inc()

    def _judge(self, batch: Sequence[Pixels]) -> list[Prediction]:
        candidate = self._candidate
        if candidate is None:
            raise DeepTraceError("the trial is over")
        return candidate.predict(batch, explain=[False] * len(batch))

    def _opinion(self, prediction: Prediction) -> Opinion:
        decision = decide(prediction, min_confidence=self._min_confidence)
        return Opinion(
            version=prediction.model.version,
            sha256=prediction.model.sha256,
            verdict=decision.verdict,
            predicted_source=decision.predicted_source,
            confidence=decision.confidence,
            p_ai=decision.p_ai,
            per_class_probs=decision.per_class_probs,
            reasons=decision.reasons,
        )

    async def _publish(self, verdict: ShadowVerdict, key: bytes) -> None:
        async with self._connecting:
            if not self._connected:
                await self._sender.start()
                self._connected = True
        headers = write_headers(
            event_id=verdict.outcome_id,
            source=SOURCE,
            event_type=SHADOW_TYPE,
            subject=verdict.outcome_id,
            time=verdict.judged,
        )
        await self._sender.send(topics.SHADOW_VERDICTS, key=key, value=verdict.to_bytes(), headers=headers)
