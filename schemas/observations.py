"""What windows need of verdicts, many in one record: between the drift workers, and for nobody else."""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from schemas.base import Message

OBSERVATIONS_SCHEMA: Final = "deeptrace.observations/2"

UNIT: Final = 60_000
"""Probabilities and confidences are whole numbers of this part of one: multiples of a tenth are exact, and the error is below 0.00001."""
ABSENT: Final = 0xFFFF
"""A confidence that is not there."""
NOVEL: Final = 1
HAS_PROBS: Final = 2
SCORED: Final = 4
REJECTED: Final = 8
HEAD_BYTES: Final = 22
MAX_ROWS: Final = 2048
MAX_CODES: Final = 255
MAX_CLASSES: Final = 32
MAX_BATCH_REJECTS: Final = 256
MAX_NAME_BYTES: Final = 128
"""Of a name as JSON writes it: an escaped character has six bytes."""
MAX_DICTIONARY_BYTES: Final = 256 * 1024
"""Of the models and sources that one record names; a record must stay well under 1 MiB."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Fingerprint = Annotated[int, Field(ge=0, le=(1 << 64) - 1)]


class ObservedModel(Message):
    """A model whose answers are in the batch; `prior` is what its probabilities are calibrated for."""

    version: Name
    calibration_id: Name
    classes: Annotated[tuple[Name, ...], Field(max_length=MAX_CLASSES)]
    prior: tuple[float, ...] | None = None


class ObservedReject(Message):
    """An image that looks like no known class: where it lies among others (32 signed bytes in base64), and where to find it."""

    fingerprint: Fingerprint
    embedding: Annotated[str, StringConstraints(max_length=64)]
    nearest: Name | None = None
    bucket: Annotated[str, StringConstraints(max_length=128)]
    key: Annotated[str, StringConstraints(max_length=1024)]
    model_version: Name


class ObservationBatch(Message):
    """Observations of one tenant, or of all (`*`). Key: the tenant, so that one partition holds all of its windows.

    `rows` is base64 of `count` little-endian rows of 22 + 2 * `width` bytes: fingerprint of the outcome id (uint64), event time in ms (int64), verdict
    (place in `VERDICTS`), source (place in `sources` + 1, 0: none), model (place in `models`), flags (1 novel, 2 has probabilities, 4 scored for novelty, 8 has an embedding), one byte each,
    confidence (uint16 in 1/60000, 65535: none), then `width` probabilities (uint16 in 1/60000) in the order of the model's classes.
    """

    schema_: Literal["deeptrace.observations/2"] = Field(default=OBSERVATIONS_SCHEMA, alias="schema")
    tenant: Name
    models: Annotated[tuple[ObservedModel, ...], Field(max_length=MAX_CODES)]
    sources: Annotated[tuple[Name, ...], Field(max_length=MAX_CODES)]
    width: Annotated[int, Field(ge=0, le=MAX_CLASSES)]
    count: Annotated[int, Field(ge=0, le=MAX_ROWS)]
    rows: str
    rejects: tuple[ObservedReject, ...] = ()
