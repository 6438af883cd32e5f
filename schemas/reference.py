"""A drift reference as it lies in the object store: what counts as normal for a tenant, and what it was made from.

A version is written once, by a conditional put, and never changed; `current.json` beside the versions says which of them is compared with.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Instant, Message
from schemas.calibration import CalibrationProfile
from schemas.verdict import REAL
from schemas.window import OVERALL

REFERENCE_SCHEMA: Final = "deeptrace.drift-reference/1"
CURRENT_SCHEMA: Final = "deeptrace.drift-reference-current/1"
PREFIX: Final = "references/"
ALL_TENANTS: Final = "_all"
"""The folder of what holds for every tenant without one of its own; no tenant can be called so."""
CURRENT: Final = "current.json"
MAX_REFERENCE_BYTES: Final = 256 * 1024
SUM_TOLERANCE: Final = 1e-4

VERSION_PATTERN: Final = r"^\d{8}T\d{9}Z-[0-9a-f]{8}$"  # to the millisecond
ReferenceVersion = Annotated[str, StringConstraints(pattern=VERSION_PATTERN)]
Share = Annotated[float, Field(ge=0, le=1)]


def folder_of(tenant: str) -> str:
    """Return the folder of a tenant's references, or of those for all.

    >>> folder_of("acme"), folder_of("*")
    ('acme', '_all')
    """
    return ALL_TENANTS if tenant == OVERALL else tenant


def reference_prefix(tenant: str) -> str:
    """Return the prefix of all that is stored of a tenant's references."""
    return f"{PREFIX}{folder_of(tenant)}/"


def reference_key(tenant: str, version: str) -> str:
    """Return the key of one version; keys sort by the time at which they were made."""
    return f"{reference_prefix(tenant)}{version}.json"


def current_key(tenant: str) -> str:
    """Return the key of what says which version is in use."""
    return f"{reference_prefix(tenant)}{CURRENT}"


def is_reference_version(text: str) -> bool:
    """Whether `text` can be a version."""
    return re.match(VERSION_PATTERN, text) is not None


class ReferenceSource(Message):
    """What a reference was made from: the windows of a time range, or the report card of a checkpoint."""

    kind: Literal["windows", "report"]
    since: Instant | None = None
    until: Instant | None = None
    window: str | None = None
    windows: Annotated[int, Field(ge=0)] = 0
    drifting: Annotated[int, Field(ge=0)] = 0
    """How many of those windows were drifted from the reference of their time."""
    report_sha256: str | None = None


class DriftReference(Message):
    """Shares of each class in normal times.

    `shares` are of the argmax counts of `images` decided images, `corrected` the true mix as far as it is known, resting on `corrected_images`.
    `confidence_histogram` counts the decided by confidence, ten bins of a tenth each. `profile` is the calibration profile of the model it was
    made with, where it came from a report card that has one.
    """

    schema_: Literal["deeptrace.drift-reference/1"] = Field(default=REFERENCE_SCHEMA, alias="schema")
    version: ReferenceVersion
    tenant: str
    made: Instant
    source: ReferenceSource
    shares: dict[str, Share]
    corrected: dict[str, Share] | None = None
    images: Annotated[int, Field(ge=0)]
    corrected_images: Annotated[int, Field(ge=0)] = 0
    confidence_histogram: tuple[int, ...] | None = None
    model_versions: tuple[str, ...] = ()
    calibration_ids: tuple[str, ...] = ()
    profile: CalibrationProfile | None = None
    note: Annotated[str, StringConstraints(max_length=500)] = ""

    @model_validator(mode="after")
    def _shares_are_whole(self) -> "DriftReference":
        for name in ("shares", "corrected"):
            shares: dict[str, float] | None = getattr(self, name)
            if shares is None:
                continue
            if abs(sum(shares.values()) - 1) > SUM_TOLERANCE:
                raise ValueError(f"{name} must sum to 1, sums to {sum(shares.values()):.6f}")
            if REAL not in shares:
                raise ValueError(f"{name} must name the class {REAL!r}")
        return self


class CurrentReference(Message):
    """Which version of a tenant's references is in use; replaced as a whole, the last writer wins."""

    schema_: Literal["deeptrace.drift-reference-current/1"] = Field(default=CURRENT_SCHEMA, alias="schema")
    tenant: str
    version: ReferenceVersion
    set_at: Instant
