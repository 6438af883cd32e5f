"""Observations that were made up: images of tenants at seconds after the epoch."""

from collections.abc import Iterable

from schemas.observations import UNIT, ObservedReject
from streams.drift.aggregate import SampleSizes
from streams.drift.gathering import Gathering
from streams.drift.observations import Seen, SeenModel
from streams.drift.rows import EMPTY, Rows, joined
from streams.drift.specs import parse_specs
from streams.drift.windows import WindowRules, fingerprint_of

CLASSES = ("real", "flux")
SIZES = SampleSizes(images=64, rejects=8)


def seen(
    at_s: float,
    *,
    outcome_id: str | None = None,
    tenant: str = "acme",
    verdict: str | None = None,
    source: str | None = "flux",
    probs: tuple[float, ...] = (),
    confidence: float | None = None,
    model: str = "m1",
    classes: tuple[str, ...] = CLASSES,
    embedding: str | None = None,
) -> Seen:
    """Return the observation of one image; novel where it has an embedding."""
    fingerprint = fingerprint_of(outcome_id or f"outcome-{at_s}")
    return Seen(
        tenant=tenant,
        fingerprint=fingerprint,
        event_ms=round(at_s * 1000),
        verdict=verdict or ("inconclusive" if source is None else "real" if source == "real" else "ai_generated"),
        source=source,
        model=SeenModel(model, f"calibration of {model}", classes, None),
        confidence=confidence,
        probs=tuple(round(p * UNIT) for p in probs),
        is_scored=True,
        is_novel=embedding is not None,
        reject=None
        if embedding is None
        else ObservedReject(
            fingerprint=fingerprint,
            embedding=embedding,
            bucket="uploads",
            key=f"{fingerprint}.jpg",
            model_version=model,
        ),
        oddities=(),
    )


def rows_of(images: Iterable[Seen]) -> Rows:
    """Return images of one tenant as rows."""
    parts = []
    gathering = Gathering()
    for one in images:
        if not gathering.has_room_for(one):
            parts.append(gathering)
            gathering = Gathering()
        gathering.add(one)
    parts.append(gathering)
    found = [Rows.from_message(batch) for part in parts for batch in list(part.batches())[-1:]]
    return joined(found) if found else EMPTY


def rules(*windows: str, lateness_s: float = 5, idle_s: float = 3, max_pane_rows: int = 1 << 16) -> WindowRules:
    """Return the rules of these windows, by default of 10 s alone: 5 s of lateness, 3 s of quiet."""
    return WindowRules(
        specs=parse_specs(windows or ("10s",)),
        lateness_ms=round(lateness_s * 1000),
        idle_ms=round(idle_s * 1000),
        sizes=SIZES,
        max_pane_rows=max_pane_rows,
    )
