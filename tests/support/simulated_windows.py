"""Simulated answers, sent through the windows of the drift worker and judged as it judges them; no broker, no clock."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from support.simulated_answers import CLASSES, SOURCES, UNKNOWN, WITHHELD, Drawn

from schemas.calibration import CalibrationProfile
from schemas.observations import HAS_PROBS, NOVEL, REJECTED, SCORED, UNIT, ObservedModel, ObservedReject
from streams.drift.episodes import EpisodeRules
from streams.drift.judge import WindowJudge
from streams.drift.profiles import Profiles
from streams.drift.reference import FixedReferences, Reference
from streams.drift.rows import VERDICTS, Rows, row_type
from streams.drift.summary import Words
from streams.drift.windows import ClosedWindow, TenantWindows, WindowRules
from streams.settings import DriftSettings

MINUTE_MS = 60_000
LARGER = "10m"
SETTINGS = DriftSettings(windows=("1m", LARGER), allowed_lateness_s=0, idle_close_s=0.001)


def judged(
    minutes: Iterable[Drawn], profile: CalibrationProfile, reference: Reference
) -> Iterator[tuple[Words, ClosedWindow]]:
    """Yield what is said of each closed window, of a minute and of ten (these look for new generators); the stream begins at the epoch."""
    judge = WindowJudge(
        FixedReferences(reference),
        Profiles({profile.calibration_id: profile}),
        EpisodeRules.of(SETTINGS),
        pane="1m",
        clustered=LARGER,
    )
    windows, memory = TenantWindows("acme", WindowRules.of(SETTINGS)), dict[str, Any]()
    now_ms = 0
    for number, drawn in enumerate(minutes):
        now_ms = (number + 1) * MINUTE_MS
        windows.apply(rows_of(drawn, number * MINUTE_MS), offset=number, seen_ms=now_ms, now_ms=now_ms)
        windows.close_due(now_ms + 1)  # the quiet that the rules ask for
        while windows.closed:
            closed = windows.closed.pop(0)
            words, memory = judge.judge("acme", closed, memory)
            yield words, closed
        windows.merging.clear()
        windows.ended.clear()


def rows_of(drawn: Drawn, start_ms: int) -> Rows:
    """The images as observations, spread over the minute from `start_ms`; exemplars say in their bucket whether their generator is known."""
    images = len(drawn.truth)
    table = np.zeros(images, row_type(len(CLASSES)))
    steps = np.random.default_rng(start_ms)
    table["fingerprint"] = steps.integers(0, 2**63, images, dtype=np.uint64)
    table["event_ms"] = start_ms + np.arange(images) * MINUTE_MS // images
    sources = drawn.sources()
    names = np.where(
        sources == WITHHELD,
        VERDICTS.index("inconclusive"),
        np.where(sources == CLASSES.index("real"), VERDICTS.index("real"), VERDICTS.index("ai_generated")),
    )
    table["verdict"] = names
    table["source"] = sources + 1
    table["flags"] = HAS_PROBS + SCORED + (NOVEL + REJECTED) * drawn.novel
    table["confidence"] = np.round(drawn.probs.max(axis=1) * UNIT)
    table["probs"] = np.round(drawn.probs * UNIT)
    rejects = {
        int(table["fingerprint"][at]): ObservedReject(
            fingerprint=int(table["fingerprint"][at]),
            embedding=base64.b64encode(drawn.embeddings[at].tobytes()).decode(),
            bucket="unknown" if drawn.truth[at] == UNKNOWN else "known",
            key=str(at),
            model_version="sim-1",
        )
        for at in np.flatnonzero(drawn.novel)
    }
    model = ObservedModel(version="sim-1", calibration_id="sim", classes=CLASSES, prior=(0.2,) * len(CLASSES))
    return Rows(table, (model,), SOURCES, rejects)
