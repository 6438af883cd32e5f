"""The windows as they lie in the table: one JSON record a tenant, and beside it the remembered ids in segments.

Everything that has to agree (counts, watermark, last applied offset, what is still to be published) is in one record, so one write takes a
tenant from one consistent state to the next and no crash can fall in between. The ids are too many to be written again with every batch:
they lie in segments of 512, of which only the last is rewritten. Segments are written before the record, which says how many ids count.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from streams.drift.windows import SEGMENT_IDS, TenantWindows, Window, WindowRules

VERSION = 1
ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Closing:
    """The messages of one closed window, as text, so that saying them again says the same."""

    summary: str
    alert: str | None = None


@dataclass(slots=True)
class Holding:
    """A tenant's windows, the partition they belong to, and the closings that are decided but perhaps not yet published."""

    partition: int
    windows: TenantWindows
    outbox: list[Closing] = field(default_factory=list)


def tenant_key(tenant: str) -> bytes:
    """Return the key of a tenant's record."""
    return orjson.dumps(["tenant", tenant])


def segment_key(tenant: str, start_ms: int, index: int) -> bytes:
    """Return the key of one segment of remembered ids."""
    return orjson.dumps(["ids", tenant, start_ms, index])


def read_key(key: bytes) -> tuple[str, str, int, int]:
    """Return kind (`tenant` or `ids`), tenant, and of a segment start and index."""
    kind, tenant, *place = orjson.loads(key)
    start_ms, index = place or (0, 0)
    return kind, tenant, start_ms, index


def write_tenant(holding: Holding) -> bytes:
    """Return the record of a tenant."""
    windows = holding.windows
    return orjson.dumps(
        {
            "version": VERSION,
            "applied": windows.applied,
            "late": windows.late,
            "watermark_ms": windows.watermark.at_ms,
            "closed_until_ms": windows.closed_until_ms,
            "windows": [_window_to_json(window) for window in windows.open.values()],
            "outbox": [asdict(closing) for closing in holding.outbox],
        }
    )


def read_tenant(
    tenant: str,
    partition: int,
    value: bytes,
    segments: Mapping[int, Mapping[int, bytes]],
    *,
    rules: WindowRules,
    now_ms: int,
) -> Holding:
    """Return the tenant as its record says; `segments` are its remembered ids by window start and index."""
    record = orjson.loads(value)
    windows = TenantWindows(tenant, rules)
    windows.applied = record["applied"]
    windows.late = record["late"]
    windows.watermark.at_ms = record["watermark_ms"]
    windows.closed_until_ms = record["closed_until_ms"]
    open_windows = [_window_from_json(window, segments.get(window["start_ms"], {})) for window in record["windows"]]
    windows.restore(open_windows, now_ms)
    return Holding(partition, windows, [Closing(**closing) for closing in record["outbox"]])


def unsaved_segments(window: Window) -> Iterator[tuple[int, bytes]]:
    """Yield index and bytes of each segment that the table has not, or not wholly."""
    if window.saved_ids == len(window.ids):
        return
    for first in range(window.saved_ids // SEGMENT_IDS * SEGMENT_IDS, len(window.ids), SEGMENT_IDS):
        ids = window.ids[first : first + SEGMENT_IDS]
        yield first // SEGMENT_IDS, b"".join(one.to_bytes(ID_BYTES) for one in ids)


def saved_segments(window: Window) -> range:
    """Return the indices of the segments that the table has."""
    return range(-(-window.saved_ids // SEGMENT_IDS))


def _window_to_json(window: Window) -> dict[str, Any]:
    return {
        "start_ms": window.start_ms,
        "size_ms": window.size_ms,
        "images": window.images,
        "undecided": window.undecided,
        "counts": window.counts,
        "micro_probabilities": window.micro_probabilities,
        "verdicts": window.verdicts,
        "models": sorted(window.models),
        "ids": len(window.ids),
    }


def _window_from_json(record: dict[str, Any], segments: Mapping[int, bytes]) -> Window:
    # a crash may have left ids behind that the record does not know of: their records will be read again, so they must not count as seen
    packed = b"".join(segments[index] for index in sorted(segments))[: record["ids"] * ID_BYTES]
    ids = [int.from_bytes(packed[at : at + ID_BYTES]) for at in range(0, len(packed), ID_BYTES)]
    return Window(
        start_ms=record["start_ms"],
        size_ms=record["size_ms"],
        images=record["images"],
        undecided=record["undecided"],
        counts=Counter(record["counts"]),
        micro_probabilities=Counter(record["micro_probabilities"]),
        verdicts=Counter(record["verdicts"]),
        models=set(record["models"]),
        ids=ids,
        seen=set(ids),
        saved_ids=len(ids),
    )
