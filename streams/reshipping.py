"""Asks the model again about the image as it would be shipped on. It never costs the verdict, and costs nothing where it is off."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from model.classifier import Prediction
from model.decision import Decision, decide, stability_of
from model.pixels import Pixels
from model.reship import reship
from schemas.errors import Rejection
from streams.settings import PipelineSettings

Judge = Callable[[Pixels], Awaitable[Prediction]]
_SUSPECT = frozenset({"ai_generated", "inconclusive"})
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reshipped:
    """The decision after the image was shipped again; `failed` where that could not be found out, and the decision is the first one."""

    decision: Decision
    failed: bool = False


class Reshipping:
    """Judges the views of an image in the same queue as the images, `at_once` images at a time: views are as large in memory as images."""

    def __init__(self, settings: PipelineSettings, *, at_once: int) -> None:
        self._mode = settings.stability
        self._min_confidence = settings.min_confidence
        self._room = asyncio.Semaphore(at_once)

    async def confirm(
        self, decision: Decision, prediction: Prediction, pixels: Pixels, *, seed: bytes, judge: Judge
    ) -> Reshipped:
        """Return the decision with its stability, or as it is where the setting asks for none.

        A model that fails on a view alone leaves the first decision; what concerns every image alike (a lost device) is raised.
        """
        if self._mode == "off" or (self._mode == "ai" and decision.verdict not in _SUSPECT):
            return Reshipped(decision)
        async with self._room:
            views = await asyncio.to_thread(reship, pixels, seed=seed)
            answers = await asyncio.gather(*map(judge, views), return_exceptions=True)
        shipped = [answer for answer in answers if isinstance(answer, Prediction)]
        for error in answers:
            if isinstance(error, Rejection):
                log.warning("a re-shipped view could not be judged", code=error.code)
            elif isinstance(error, BaseException):
                raise error
        if len(shipped) < len(answers):
            return Reshipped(decision, failed=True)
        stability = stability_of(prediction, shipped, min_confidence=self._min_confidence)
        return Reshipped(decide(prediction, stability=stability, min_confidence=self._min_confidence))
