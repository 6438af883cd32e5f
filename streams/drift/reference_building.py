"""Makes a drift reference: of pooled windows, or of a model's report card."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.base import fault_list, rfc3339
from schemas.calibration import CalibrationProfile
from schemas.errors import CheckFailed, UsageError
from schemas.reference import DriftReference, ReferenceSource
from schemas.verdict import REAL
from streams.drift.pooling import Pool
from streams.drift.window_reader import whose

DIGITS: Final = 6
MAX_CARD_BYTES: Final = 64 << 20
TEST: Final = "test"
AS_THEY_ARE: Final = "clean"


def from_windows(
    pool: Pool,
    *,
    tenant: str,
    window: str,
    since: datetime,
    until: datetime,
    min_images: int,
    made: datetime,
    note: str = "",
) -> DriftReference:
    """Return the reference that the pooled windows give, with corrected shares where the windows have them.

    Raises:
        CheckFailed: fewer than `min_images` decided images, or no photograph among them: that is no normal time.
    """
    if pool.decided < min_images:
        raise CheckFailed(
            f"{pool.decided} decided images are too few for a reference of {whose(tenant)}",
            why=f"at least {min_images} are asked for; there are {pool.windows} windows of {window} in the range",
            remedy="Give an earlier --since, or a smaller --min-images if it must be.",
        )
    if REAL not in pool.counts:
        raise CheckFailed(
            "no image in this range was judged to be a photograph",
            why=f"the windows count {', '.join(sorted(pool.counts))}",
            remedy="Give a range of normal traffic.",
        )
    corrected = pool.corrected()
    shares = _whole(pool.shares())
    return _versioned(
        DriftReference(
            version=_version(made, ""),
            tenant=tenant,
            made=made,
            source=ReferenceSource(
                kind="windows", since=since, until=until, window=window, windows=pool.windows, drifting=pool.drifting
            ),
            shares=shares,
            corrected=_whole({name: share.value for name, share in corrected.correction.shares.items()})
            if corrected is not None and corrected.correction.shares is not None
            else None,
            images=pool.decided,
            corrected_images=pool.corrected_images if corrected is not None else 0,
            confidence_histogram=tuple(pool.confidence) if any(pool.confidence) else None,
            model_versions=tuple(sorted(pool.models)),
            calibration_ids=tuple(sorted(pool.calibrations)),
            note=note,
        )
    )


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Set(_Part):
    by_class: dict[str, int]
    confusion: list[list[Annotated[int, Field(ge=0)]]]


class _Checkpoint(_Part):
    version: str
    classes: list[str]
    calibration_id: str


class _Card(_Part):
    """The part of a report card that a reference is made of (`training/report/schema.py`)."""

    checkpoint: _Checkpoint
    sets: dict[str, dict[str, _Set]]
    profile: CalibrationProfile | None = None


def from_report_card(path: Path, *, tenant: str, made: datetime, note: str = "") -> DriftReference:
    """Return the reference that a report card gives: the mix of its test images as the model called them, and as it truly is.

    That mix was chosen by who made the test split, and is that of no platform's traffic: it is a beginning, until there are windows.

    Raises:
        UsageError: the file is no report card.
        CheckFailed: it has no test images, or no photograph among them.
    """
    remedy = "Give the report.json that `deeptrace evaluate` wrote."
    try:
        data = path.read_bytes()
        card = _Card.model_validate_json(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be read", why=error.strerror or type(error).__name__, remedy=remedy) from error
    except ValidationError as error:
        raise UsageError(f"{path} is not a report card", why=fault_list(error), remedy=remedy) from None
    found = card.sets.get(TEST, {}).get(AS_THEY_ARE)
    classes = card.checkpoint.classes
    if (
        found is None
        or any(len(row) != len(classes) for row in found.confusion)
        or len(found.confusion) != len(classes)
    ):
        raise CheckFailed(
            f"{path} has no figures of test images", why=f"no split {TEST!r} as {AS_THEY_ARE!r}", remedy=remedy
        )
    called = dict(zip(classes, map(sum, zip(*found.confusion, strict=True)), strict=True))
    true = dict(zip(classes, map(sum, found.confusion), strict=True))
    images = sum(called.values())
    if not true.get(REAL) or REAL not in called:
        raise CheckFailed(
            f"{path} has no photographs among its test images", why="a reference needs the class `real`", remedy=remedy
        )
    return _versioned(
        DriftReference(
            version=_version(made, ""),
            tenant=tenant,
            made=made,
            source=ReferenceSource(kind="report", report_sha256=hashlib.sha256(data).hexdigest()),
            shares=_whole({name: count / images for name, count in called.items()}),
            corrected=_whole({name: count / images for name, count in true.items()}),
            images=images,
            corrected_images=images,
            model_versions=(card.checkpoint.version,),
            calibration_ids=(card.checkpoint.calibration_id,),
            profile=card.profile,
            note=note,
        )
    )


def _versioned(reference: DriftReference) -> DriftReference:
    """Name a reference by when it was made and by what is in it, so that two made at once are two."""
    content = hashlib.sha256(reference.to_bytes()).hexdigest()
    return reference.model_copy(update={"version": _version(reference.made, content)})


def _version(made: datetime, content: str) -> str:
    made = made.astimezone(UTC)
    return f"{made:%Y%m%dT%H%M%S}{made.microsecond // 1000:03}Z-{(content or '0' * 8)[:8]}"


def _whole(shares: dict[str, float]) -> dict[str, float]:
    """Round to six digits, as on the wire, and give what rounding leaves to the largest share."""
    total = sum(shares.values())
    rounded = {name: round(share / total, DIGITS) for name, share in shares.items()}
    largest = max(rounded, key=rounded.__getitem__)
    rounded[largest] = round(rounded[largest] + 1 - sum(rounded.values()), DIGITS)
    return rounded


def said_of(source: ReferenceSource) -> str:
    """Return in a few words what a reference was made from."""
    if source.kind == "report":
        return "a report card"
    moments = [rfc3339(moment)[:16] + "Z" for moment in (source.since, source.until) if moment is not None]
    return f"{source.windows} windows of {source.window}, {' to '.join(moments)}"
