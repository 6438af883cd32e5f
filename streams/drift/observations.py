"""Verdicts to observations: what windows need of them.

Only the fields that windows use are read and checked; a full verdict costs five times as much.
"""

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from schemas.base import fault_list
from schemas.errors import MessageInvalid, SchemaVersionUnknown
from schemas.image_ref import Tenant
from schemas.observations import (
    MAX_CLASSES,
    MAX_NAME_BYTES,
    UNIT,
    Name,
    ObservedReject,
)
from schemas.verdict import SCHEMA, SUM_TOLERANCE, UNKNOWN_GENERATOR, Unit, VerdictName
from streams.drift.rows import name_bytes
from streams.drift.windows import Fate, fingerprint_of
from streams.settings import DriftSettings

EMBEDDING_BYTES: Final = 32
MAX_KEY_BYTES: Final = 512
MAX_BYTES: Final = 64 * 1024
"""A verdict of ours has some 8 KiB; to say what is wrong with a large one would hold up the event loop."""
LEAST_PRIOR: Final = 1e-6
"""A probability divided by less than that says nothing any more, and by far less it is no number."""


class Oddity(StrEnum):
    """What is odd about a verdict that is counted nevertheless."""

    BAD_PROBABILITIES = "bad_probabilities"
    """They do not sum to 1, or are not over the model's classes: the image is counted, its probabilities are not."""
    BAD_EMBEDDING = "bad_embedding"
    """The image is counted, and takes no part in the search for new generators."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class _Object(_Part):
    bucket: str
    key: str


class _Model(_Part):
    version: Name
    calibration_id: Name
    classes: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MAX_CLASSES, fail_fast=True)]
    prior: Annotated[tuple[Unit, ...], Field(fail_fast=True)] | None = None


class _Novelty(_Part):
    score: float
    threshold: float
    nearest: Name | None = None
    embedding: str | None = None


class _Source(_Part):
    event_time: datetime | None = None

    @field_validator("event_time")
    @classmethod
    def _has_a_zone(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.tzinfo is None:
            raise ValueError("must have a time zone")
        return moment


class _Verdict(_Part):
    schema_: str = Field(default=SCHEMA, alias="schema")
    outcome_id: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    tenant: Tenant
    object: _Object
    verdict: VerdictName
    predicted_source: Name | None = None
    confidence: Unit | None = None
    per_class_probs: dict[str, float] | None = None
    novelty: _Novelty | None = None
    model: _Model
    source: _Source


class SeenModel(NamedTuple):
    """The model that answered; `prior` is what its probabilities are calibrated for."""

    version: str
    calibration_id: str
    classes: tuple[str, ...]
    prior: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What windows need of one verdict. `probs` are in the order of the model's classes, in 1/60000; none: no probabilities."""

    tenant: str
    fingerprint: int
    event_ms: int
    verdict: str
    source: str | None
    model: SeenModel
    confidence: float | None
    probs: tuple[int, ...]
    is_scored: bool
    is_novel: bool
    reject: ObservedReject | None
    oddities: tuple[Oddity, ...]


def observe(value: bytes | None, *, written_ms: int) -> Seen:
    """Return what the verdict in `value` says to windows; `written_ms` is when it was put on the topic.

    The event time is the reference's. It is the same in every repeat of a verdict, so repeats fall into the same window.

    Raises:
        SchemaVersionUnknown: `value` says that it is something else than a verdict that this release reads.
        MessageInvalid: `value` is not a verdict.
    """
    if value is None:
        raise MessageInvalid("not a valid verdict", why="the record has no value")
    if len(value) > MAX_BYTES:
        raise MessageInvalid("not a valid verdict", why=f"more than {MAX_BYTES} bytes")
    try:
        read = _Verdict.model_validate_json(value)
    except ValidationError as error:
        _refuse_schema(value)
        raise MessageInvalid("not a valid verdict", why=fault_list(error)) from None
    if read.schema_ != SCHEMA:
        _refuse_schema(value)
    if read.predicted_source is not None and read.predicted_source not in (*read.model.classes, UNKNOWN_GENERATOR):
        raise MessageInvalid("not a valid verdict", why="predicted_source: no class of the model")
    if not _are_short((read.model.version, read.model.calibration_id, *read.model.classes)):
        raise MessageInvalid("not a valid verdict", why=f"model: a name of more than {MAX_NAME_BYTES} bytes")
    oddities: list[Oddity] = []
    probs = _probabilities(read, oddities)
    fingerprint = fingerprint_of(read.outcome_id)
    novelty, moment = read.novelty, read.source.event_time
    return Seen(
        tenant=read.tenant,
        fingerprint=fingerprint,
        event_ms=written_ms if moment is None else _milliseconds(moment),
        verdict=read.verdict,
        source=read.predicted_source,
        model=_seen_model(read.model),
        confidence=read.confidence,
        probs=probs,
        is_scored=novelty is not None,
        is_novel=novelty is not None and novelty.score > novelty.threshold,
        reject=None if novelty is None or novelty.embedding is None else _reject(read, fingerprint, oddities),
        oddities=tuple(oddities),
    )


def _refuse_schema(value: bytes) -> None:
    try:
        record: Any = orjson.loads(value)
    except orjson.JSONDecodeError:
        return
    schema = record.get("schema", SCHEMA) if isinstance(record, dict) else SCHEMA
    if schema != SCHEMA:
        raise SchemaVersionUnknown("not a verdict of this release", why=f"only {SCHEMA} is read")


@lru_cache(maxsize=256)
def _are_short(names: tuple[str, ...]) -> bool:
    return all(name_bytes(name) <= MAX_NAME_BYTES for name in names)


def _milliseconds(moment: datetime) -> int:
    return math.floor(moment.timestamp() * 1000 + 0.5)


def _seen_model(model: _Model) -> SeenModel:
    prior = model.prior
    if prior is not None and not (
        len(prior) == len(model.classes) and min(prior) >= LEAST_PRIOR and _sums_to_one(prior)
    ):
        prior = None
    return SeenModel(model.version, model.calibration_id, model.classes, prior)


def _sums_to_one(probs: Sequence[float]) -> bool:
    return abs(sum(probs) - 1) <= SUM_TOLERANCE


def _probabilities(read: _Verdict, oddities: list[Oddity]) -> tuple[int, ...]:
    table, classes = read.per_class_probs, read.model.classes
    if table is None:
        return ()
    try:
        probs = [table[name] for name in classes]
    except KeyError:
        probs = []
    if len(table) != len(probs) or not _sums_to_one(probs) or not 0 <= min(probs) <= max(probs) <= 1:
        oddities.append(Oddity.BAD_PROBABILITIES)
        return ()
    return tuple([round(p * UNIT) for p in probs])


def _reject(read: _Verdict, fingerprint: int, oddities: list[Oddity]) -> ObservedReject | None:
    novelty = read.novelty
    assert novelty is not None
    assert novelty.embedding is not None
    try:
        is_sound = len(base64.b64decode(novelty.embedding, validate=True)) == EMBEDDING_BYTES
    except (binascii.Error, ValueError):
        is_sound = False
    if (
        not is_sound
        or name_bytes(read.object.key) > MAX_KEY_BYTES
        or not _are_short((read.object.bucket, novelty.nearest or ""))
    ):
        oddities.append(Oddity.BAD_EMBEDDING)
        return None
    return ObservedReject.model_construct(
        fingerprint=fingerprint,
        embedding=novelty.embedding,
        nearest=novelty.nearest,
        bucket=read.object.bucket,
        key=read.object.key,
        model_version=read.model.version,
    )


@dataclass(frozen=True, slots=True)
class EventTimes:
    """Which event times count: not too far ahead of our clock, nor too far behind the time at which the verdict was written."""

    max_future_ms: int
    max_past_ms: int

    @classmethod
    def of(cls, settings: DriftSettings) -> Self:
        """Return the times of the settings."""
        return cls(round(settings.max_future_s * 1000), round(settings.max_past_s * 1000))

    def fate(self, seen: Seen, *, written_ms: int, now_ms: int) -> Fate | None:
        """Return why the verdict is not counted, or None."""
        if seen.event_ms > now_ms + self.max_future_ms:
            return Fate.TOO_FAR_AHEAD
        if seen.event_ms < written_ms - self.max_past_ms:
            return Fate.TOO_FAR_BACK
        return None
