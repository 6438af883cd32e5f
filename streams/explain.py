"""Puts the Grad-CAM overlay of a judged image into the store. An overlay that fails never costs the verdict."""

import asyncio

import structlog

from model.classifier import Prediction
from model.overlay import render
from model.pixels import Pixels
from schemas.errors import Rejection, Transient
from schemas.image_ref import Want
from schemas.verdict import Explanation, VerdictName
from streams.gate import Gate
from streams.objects import Objects
from streams.passage import Passage
from streams.retries import Retries
from streams.settings import StoreSettings

METHOD = "grad-cam"
MEMBER = "cnn"
log = structlog.get_logger(__name__)


def wants_overlay(want: Want, verdict: VerdictName) -> bool:
    """Whether the producer gets an overlay for this verdict; `auto` shows why wherever it is not `real`."""
    return want.overlay == "always" or (want.overlay == "auto" and verdict in {"ai_generated", "inconclusive"})


class Explainer:
    """Renders and stores overlays under a key derived from the outcome id alone: input text never names our objects."""

    def __init__(
        self, objects: Objects, settings: StoreSettings, retries: Retries, *, gate: Gate | None = None
    ) -> None:
        self._objects = objects
        self._settings = settings
        self._retries = retries
        self._gate = gate

    async def explain(
        self, outcome_id: str, pixels: Pixels, prediction: Prediction | None, *, wanted: bool, passage: Passage
    ) -> Explanation:
        """Return where the overlay lies, `skipped` if none is wanted, `failed` if it could not be drawn.

        Waits while the store is down: the verdict promises an overlay that can be read.
        """
        cams = prediction.cams if prediction else None
        if not wanted or prediction is None or cams is None:
            return Explanation(status="skipped")
        key = f"{self._settings.overlay_prefix}{outcome_id[:2]}/{outcome_id}.webp"
        bucket = self._settings.overlay_bucket
        try:
            picture = await asyncio.to_thread(render, pixels, cams, format="webp")
        except Exception as error:  # noqa: BLE001  # whatever drawing raises, the verdict stands
            log.warning("overlay failed", outcome_id=outcome_id, error=type(error).__name__)
            return Explanation(status="failed", method=METHOD, member=MEMBER)
        try:
            await self._retries.run(
                lambda: self._objects.write(bucket, key, picture, "image/webp"), passage, gate=self._gate
            )
        except (Transient, Rejection) as error:
            log.warning("overlay refused", outcome_id=outcome_id, code=error.code)
            return Explanation(status="failed", method=METHOD, member=MEMBER)
        return Explanation(
            status="written",
            bucket=bucket,
            key=key,
            method=METHOD,
            member=MEMBER,
            target_class=prediction.cam_class,
        )
