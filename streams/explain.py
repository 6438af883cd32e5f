"""Puts the Grad-CAM overlay of a judged image into the store, if it is worth showing. An overlay that fails never costs the verdict."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from model.classifier import Heat, Prediction
from model.overlay import render
from model.pixels import Pixels
from schemas.errors import InferenceFailed, Rejection, Transient
from schemas.image_ref import Want
from schemas.verdict import Explanation, VerdictName
from streams.gate import Gate
from streams.objects import Objects
from streams.passage import Passage
from streams.retries import Retries
from streams.settings import StoreSettings

METHOD = "grad-cam"
MEMBER = "cnn"
Measure = Callable[[Pixels, Prediction, Passage], Awaitable[float | None]]
log = structlog.get_logger(__name__)


def wants_overlay(want: Want, verdict: VerdictName) -> bool:
    """Whether the producer gets an overlay for this verdict; `auto` shows why wherever it is not `real`."""
    return want.overlay == "always" or (want.overlay == "auto" and verdict in {"ai_generated", "inconclusive"})


class Explainer:
    """Renders and stores overlays under a key derived from the outcome id alone: input text never names our objects."""

    def __init__(
        self,
        objects: Objects,
        settings: StoreSettings,
        retries: Retries,
        *,
        gate: Gate | None = None,
        measure: Measure | None = None,
    ) -> None:
        """Take `measure`, which returns how much better than a random map an overlay is; without it every overlay is published."""
        self._objects = objects
        self._settings = settings
        self._retries = retries
        self._gate = gate
        self._measure = measure

    async def explain(
        self, outcome_id: str, pixels: Pixels, prediction: Prediction | None, *, wanted: bool, passage: Passage
    ) -> Explanation:
        """Return where the overlay lies, `skipped` if none is wanted, `failed` if it could not be drawn or measured.

        `withheld` if it points no better than a random map at what the probability rests on: it would mislead.
        Waits while the store is down: the verdict promises an overlay that can be read.
        """
        if not wanted or prediction is None or prediction.cams is None:
            return Explanation(status="skipped")
        failed = Explanation(status="failed", method=METHOD, member=MEMBER, target_class=prediction.cam_class)
        try:
            faithfulness = await self._measure(pixels, prediction, passage) if self._measure else None
            measured = failed.model_copy(update={"faithfulness": faithfulness})
            if faithfulness is not None and faithfulness <= 0:
                return measured.model_copy(update={"status": "withheld"})
            place = await self._put(outcome_id, pixels, prediction.cams, passage)
        except (Transient, Rejection) as error:
            log.warning("overlay failed", outcome_id=outcome_id, code=error.code)
            return failed
        return measured.model_copy(update={"status": "written", **place})

    async def _put(self, outcome_id: str, pixels: Pixels, cams: Heat, passage: Passage) -> dict[str, str]:
        """Draw the overlay and return where it lies; raises a `Rejection` or `Transient` where that cannot be done."""
        try:
            picture = await asyncio.to_thread(render, pixels, cams, format="webp")
        except Exception as error:  # whatever drawing raises, the verdict stands
            raise InferenceFailed("the overlay cannot be drawn", why=type(error).__name__) from error
        bucket, key = (
            self._settings.overlay_bucket,
            f"{self._settings.overlay_prefix}{outcome_id[:2]}/{outcome_id}.webp",
        )
        await self._retries.run(
            lambda: self._objects.write(bucket, key, picture, "image/webp"), passage, gate=self._gate
        )
        return {"bucket": bucket, "key": key}
