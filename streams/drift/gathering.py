"""Observations to batches: many in one record a tenant, so that one worker sees the whole of a tenant, and once more for all tenants."""

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from schemas.observations import (
    ABSENT,
    HAS_PROBS,
    MAX_BATCH_REJECTS,
    MAX_CODES,
    MAX_DICTIONARY_BYTES,
    NOVEL,
    REJECTED,
    SCORED,
    UNIT,
    ObservationBatch,
    ObservedModel,
    ObservedReject,
)
from schemas.window import OVERALL
from streams.drift.observations import Seen, SeenModel
from streams.drift.rows import VERDICTS, Rows, model_bytes, name_bytes, row_type

MAX_BATCH_ROWS: Final = 1024
_HEAD: Final = struct.Struct("<QqBBBBH")
_CODES: Final = {name: code for code, name in enumerate(VERDICTS)}


@dataclass(slots=True)
class Gathering:
    """Gathers observations, and gives them out by tenant and for all tenants together."""

    _models: dict[SeenModel, int] = field(default_factory=dict)
    _sources: dict[str, int] = field(default_factory=dict)
    _heads: dict[str, list[tuple[bytes, bytes]]] = field(default_factory=lambda: defaultdict(list))
    _rejects: dict[str, dict[int, ObservedReject]] = field(default_factory=lambda: defaultdict(dict))
    _count: int = 0
    _reject_count: int = 0
    _dictionary_bytes: int = 0

    def __len__(self) -> int:
        return self._count

    def has_room_for(self, seen: Seen) -> bool:
        """Whether another fits; when not, `batches` is to be taken and a new gathering begun."""
        return (
            self._count < MAX_BATCH_ROWS
            and self._reject_count < MAX_BATCH_REJECTS
            and (len(self._models) < MAX_CODES or seen.model in self._models)
            and (len(self._sources) < MAX_CODES or seen.source is None or seen.source in self._sources)
            and (not self._count or self._dictionary_bytes + self._bytes_more(seen) <= MAX_DICTIONARY_BYTES)
        )

    def add(self, seen: Seen) -> None:
        """Take in an observation."""
        self._dictionary_bytes += self._bytes_more(seen)
        model = self._models.setdefault(seen.model, len(self._models))
        source = 0 if seen.source is None else self._sources.setdefault(seen.source, len(self._sources)) + 1
        flags = NOVEL * seen.is_novel | HAS_PROBS * bool(seen.probs) | SCORED * seen.is_scored
        flags |= REJECTED * (seen.reject is not None)
        confidence = ABSENT if seen.confidence is None else round(seen.confidence * UNIT)
        head = _HEAD.pack(seen.fingerprint, seen.event_ms, _CODES[seen.verdict], source, model, flags, confidence)
        self._heads[seen.tenant].append((head, struct.pack(f"<{len(seen.probs)}H", *seen.probs)))
        self._count += 1
        if seen.reject is not None:
            self._rejects[seen.tenant][seen.fingerprint] = seen.reject
            self._reject_count += 1

    def _bytes_more(self, seen: Seen) -> int:
        more = 0 if seen.model in self._models else model_bytes(seen.model)
        return more + (0 if seen.source is None or seen.source in self._sources else name_bytes(seen.source))

    def batches(self) -> Iterator[ObservationBatch]:
        """Yield one batch a tenant, then one of all of them; none where nothing was gathered."""
        if not self._count:
            return
        width = max(len(model.classes) for model in self._models)
        models = tuple(ObservedModel.model_construct(**model._asdict()) for model in self._models)
        everything = []
        for tenant, heads in self._heads.items():
            packed = b"".join([part for head, probs in heads for part in (head, probs.ljust(2 * width, b"\0"))])
            everything.append(packed)
            yield self._batch(tenant, packed, models, width, self._rejects.get(tenant, {}))
        rejects = {at: one for of_tenant in self._rejects.values() for at, one in of_tenant.items()}
        yield self._batch(OVERALL, b"".join(everything), models, width, rejects)

    def _batch(
        self,
        tenant: str,
        packed: bytes,
        models: tuple[ObservedModel, ...],
        width: int,
        rejects: dict[int, ObservedReject],
    ) -> ObservationBatch:
        return Rows(np.frombuffer(packed, row_type(width)), models, tuple(self._sources), rejects).to_message(tenant)
