"""Observations in numpy: one row an image, with the few dictionaries that their codes point into.

The same rows lie on the observations topic, in the table as segments of an open pane, and in the samples that closed windows keep.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.errors import MessageInvalid
from schemas.observations import (
    HAS_PROBS,
    MAX_CODES,
    MAX_DICTIONARY_BYTES,
    NOVEL,
    ObservationBatch,
    ObservedModel,
    ObservedReject,
)

VERDICTS: Final = ("ai_generated", "real", "inconclusive", "not_assessable")
"""The verdicts by code; the order is on the wire."""

Table = NDArray[Any]


@lru_cache(maxsize=64)
def row_type(width: int) -> np.dtype[Any]:
    """Return the layout of a row with `width` probabilities, as `ObservationBatch` describes it."""
    return np.dtype(
        [
            ("fingerprint", "<u8"),
            ("event_ms", "<i8"),
            ("verdict", "u1"),
            ("source", "u1"),
            ("model", "u1"),
            ("flags", "u1"),
            ("confidence", "<u2"),
            ("probs", "<u2", (width,)),
        ]
    )


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows [n] of `row_type(width)`, and what their codes mean. `rejects` are by fingerprint."""

    table: Table
    models: tuple[ObservedModel, ...] = ()
    sources: tuple[str, ...] = ()
    rejects: Mapping[int, ObservedReject] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def width(self) -> int:
        """How many probabilities a row has room for."""
        return int(self.table.dtype["probs"].shape[0])

    def fingerprints(self) -> list[int]:
        """Return the fingerprint of each row."""
        found: list[int] = self.table["fingerprint"].tolist()
        return found

    def take(self, which: Any) -> "Rows":
        """Return the rows that a mask or an index picks, with their rejects."""
        table = self.table[which]
        if not self.rejects:
            return Rows(table, self.models, self.sources)
        kept = set(table["fingerprint"].tolist())
        return Rows(table, self.models, self.sources, {at: one for at, one in self.rejects.items() if at in kept})

    def to_message(self, tenant: str) -> ObservationBatch:
        """Return the rows as they are sent, and as they lie in the table."""
        return ObservationBatch.model_construct(
            tenant=tenant,
            models=self.models,
            sources=self.sources,
            width=self.width,
            count=len(self.table),
            rows=base64.b64encode(self.table.tobytes()).decode(),
            rejects=tuple(self.rejects[at] for at in sorted(self.rejects)),
        )

    @classmethod
    def from_message(cls, batch: ObservationBatch) -> "Rows":
        """Return the rows of a batch.

        Raises:
            MessageInvalid: they are not as many as it says, or a code points to nothing.
        """
        try:
            table = np.frombuffer(base64.b64decode(batch.rows, validate=True), row_type(batch.width))
        except ValueError as error:
            raise MessageInvalid(
                "not a valid ObservationBatch", why="rows: not so many bytes as whole rows have"
            ) from error
        if len(table) != batch.count:
            raise MessageInvalid("not a valid ObservationBatch", why="rows: not as many as count says")
        limits = {"verdict": len(VERDICTS) - 1, "source": len(batch.sources), "model": len(batch.models) - 1}
        if len(table) and any(int(table[name].max()) > limit for name, limit in limits.items()):
            raise MessageInvalid("not a valid ObservationBatch", why="rows: a code points to nothing")
        if any(len(model.classes) > batch.width for model in batch.models):
            raise MessageInvalid("not a valid ObservationBatch", why="width: a model has more classes")
        return cls(table, batch.models, batch.sources, {one.fingerprint: one for one in batch.rejects})


EMPTY: Final = Rows(np.empty(0, row_type(0)))


def joined(parts: Sequence[Rows]) -> Rows:
    """Return all rows in order, under common codes. `ValueError` where there are more than 255 models or sources."""
    parts = [part for part in parts if len(part)]
    if len(parts) <= 1:
        return parts[0] if parts else EMPTY
    first = parts[0]
    alike = all((part.models, part.sources, part.width) == (first.models, first.sources, first.width) for part in parts)
    models = first.models if alike else tuple(dict.fromkeys(one for part in parts for one in part.models))
    sources = first.sources if alike else tuple(dict.fromkeys(one for part in parts for one in part.sources))
    rejects = {at: one for part in parts for at, one in part.rejects.items()}
    if alike:
        return Rows(np.concatenate([part.table for part in parts]), models, sources, rejects)
    if max(len(models), len(sources)) > MAX_CODES:
        raise ValueError("more than 255 models or sources")
    width = max(part.width for part in parts)
    return Rows(np.concatenate([_recoded(part, models, sources, width) for part in parts]), models, sources, rejects)


def fits(parts: Iterable[Rows]) -> bool:
    """Whether `joined` can take them under common codes, and the names of all still fit into one record."""
    known = list(parts)
    models = {one for part in known for one in part.models}
    sources = {one for part in known for one in part.sources}
    return (
        max(len(models), len(sources)) <= MAX_CODES
        and sum(map(model_bytes, models)) + sum(map(name_bytes, sources)) <= MAX_DICTIONARY_BYTES
    )


def name_bytes(name: str) -> int:
    """Return how many bytes a name has in JSON, without the quotes."""
    return len(orjson.dumps(name)) - 2


def model_bytes(model: Any) -> int:
    """Return about how many bytes a model has in a record; it is an `ObservedModel`, or what becomes one."""
    return 64 + len(orjson.dumps([model.version, model.calibration_id, model.classes, model.prior]))


def _recoded(part: Rows, models: Sequence[ObservedModel], sources: Sequence[str], width: int) -> Table:
    table = np.zeros(len(part), row_type(width))
    for name in ("fingerprint", "event_ms", "verdict", "flags", "confidence"):
        table[name] = part.table[name]
    table["probs"][:, : part.width] = part.table["probs"]
    model_codes = np.array([models.index(one) for one in part.models] or [0], np.uint8)
    table["model"] = model_codes[part.table["model"]]
    source_codes = np.array([0, *(sources.index(one) + 1 for one in part.sources)], np.uint8)
    table["source"] = source_codes[part.table["source"]]
    return table


def probabilities(rows: Rows, model: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the probabilities [n, classes] that `model` gave, each row summing to 1, and which of them were novel [n]."""
    table = rows.table[(rows.table["model"] == model) & (rows.table["flags"] & HAS_PROBS != 0)]
    probs = table["probs"][:, : len(rows.models[model].classes)].astype(np.float64)
    return probs / probs.sum(axis=1, keepdims=True), table["flags"] & NOVEL != 0
