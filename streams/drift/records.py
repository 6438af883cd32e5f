"""The windows as they lie in the table.

A tenant's record holds everything that has to agree: last applied offset, watermark, which panes and larger windows are open, what is decided but
perhaps not yet published. One write takes a tenant from one consistent state to the next, so no crash can fall in between. What is large lies
beside it: the rows of open panes in segments, of which only the last is written again, and one record for each larger window. Segments are
written before the tenant's record, which says how many rows count; larger windows after it, which says which panes they are yet to take in.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from schemas.observations import ObservationBatch
from streams.drift.aggregate import Aggregate
from streams.drift.pane import Pane
from streams.drift.rows import Rows
from streams.drift.specs import parse_spec
from streams.drift.windows import ClosedWindow, Larger, TenantWindows

VERSION = 2


@dataclass(frozen=True, slots=True)
class Closing:
    """The messages of one closed window, as text, so that saying them again says the same. `alerts` go to the alerts topic, after the summary."""

    summary: str
    alerts: tuple[str, ...] = ()


@dataclass(slots=True)
class Holding:
    """A tenant's windows, the partition they belong to, what was decided but perhaps not yet published, and what the judge remembers."""

    partition: int
    windows: TenantWindows
    outbox: list[Closing] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)


class Place(NamedTuple):
    """What a key is of: `kind` is `tenant`, `rows` (a segment), `folded` (the part of a pane without rows) or `window` (a larger one)."""

    kind: str
    tenant: str
    start_ms: int = 0
    segment: int = 0
    spec: str = ""


@dataclass(slots=True)
class Pieces:
    """What the table has of one tenant beside its record."""

    segments: dict[int, dict[int, bytes]] = field(default_factory=dict)
    folded: dict[int, bytes] = field(default_factory=dict)
    larger: dict[tuple[str, int], bytes] = field(default_factory=dict)


def tenant_key(tenant: str) -> bytes:
    """Return the key of a tenant's record."""
    return orjson.dumps(["tenant", tenant])


def segment_key(tenant: str, start_ms: int, index: int) -> bytes:
    """Return the key of one segment of a pane."""
    return orjson.dumps(["rows", tenant, start_ms, index])


def folded_key(tenant: str, start_ms: int) -> bytes:
    """Return the key of what a pane has counted of rows that are gone."""
    return orjson.dumps(["folded", tenant, start_ms])


def larger_key(tenant: str, spec: str, start_ms: int) -> bytes:
    """Return the key of a larger window."""
    return orjson.dumps(["window", tenant, spec, start_ms])


def read_key(key: bytes) -> Place:
    """Return what a key is of."""
    kind, tenant, *place = orjson.loads(key)
    match kind, place:
        case "rows", [start_ms, index]:
            return Place(kind, tenant, start_ms, index)
        case "window", [spec, start_ms]:
            return Place(kind, tenant, start_ms, spec=spec)
        case _:
            return Place(kind, tenant, *place[:1])


def write_segment(tenant: str, rows: Rows) -> bytes:
    """Return a segment."""
    return rows.to_message(tenant).to_bytes()


def write_folded(pane: Pane) -> bytes:
    """Return what a pane has counted of rows that are gone, and which those are."""
    return orjson.dumps({"rows": pane.folded_rows, "first": pane.first, "total": pane.folded.to_json()})


def write_larger(window: Larger) -> bytes:
    """Return the record of a larger window."""
    return orjson.dumps({"late": window.late, "through_ms": window.through_ms, "total": window.total.to_json()})


def write_tenant(holding: Holding) -> bytes:
    """Return the record of a tenant."""
    windows = holding.windows
    return orjson.dumps(
        {
            "version": VERSION,
            "applied": windows.applied,
            "seen_ms": windows.seen_ms,
            "late": windows.late,
            "watermark_ms": windows.watermark.at_ms,
            "closed_until_ms": windows.closed_until_ms,
            "pane": windows.pane_spec.name,
            "panes": [[pane.start_ms, pane.rows] for pane in windows.panes.values()],
            "larger": [[window.spec.name, window.start_ms] for window in windows.larger.values()],
            "merging": [[closed.spec.name, pane.start_ms, pane.rows, closed.late] for pane, closed in windows.merging],
            "outbox": [[closing.summary, closing.alerts] for closing in holding.outbox],
            "memory": holding.memory,
        }
    )


def is_readable(value: bytes) -> bool:
    """Whether a tenant's record is of this release; an older one points to another topic's offsets."""
    return bool(orjson.loads(value).get("version") == VERSION)


def read_tenant(partition: int, value: bytes, pieces: Pieces, windows: TenantWindows, *, now_ms: int) -> Holding:
    """Return the tenant as its record says, in fresh `windows`; panes that a crash kept from the larger windows are added to them."""
    record = orjson.loads(value)
    windows.applied = record["applied"]
    windows.seen_ms = record.get("seen_ms", 0)
    windows.late = record["late"]
    windows.watermark.at_ms = record["watermark_ms"]
    windows.closed_until_ms = record["closed_until_ms"]
    larger = {(spec, start_ms): _larger(spec, start_ms, pieces) for spec, start_ms in record["larger"]}
    for spec, start_ms, rows, late in record["merging"]:
        pane = _pane(start_ms, rows, pieces)
        closed = ClosedWindow(parse_spec(spec), start_ms, pane.aggregate(windows.sizes), late)
        for window in larger.values():
            if window.start_ms <= start_ms < window.end_ms:
                window.add(closed, windows.sizes)
        windows.merging.append((pane, closed))
    panes = [_pane(start_ms, rows, pieces) for start_ms, rows in record["panes"]]
    windows.restore(panes, larger.values(), record["pane"], now_ms)
    outbox = [Closing(summary, tuple(alerts)) for summary, alerts in record["outbox"]]
    return Holding(partition, windows, outbox, record["memory"])


def _larger(spec: str, start_ms: int, pieces: Pieces) -> Larger:
    window = Larger(parse_spec(spec), start_ms)
    if (value := pieces.larger.get((spec, start_ms))) is not None:
        record = orjson.loads(value)
        window.total = Aggregate.from_json(record["total"])
        window.late = record["late"]
        window.through_ms = window.saved_through_ms = record["through_ms"]
    return window


def _pane(start_ms: int, rows: int, pieces: Pieces) -> Pane:
    """Return a pane of so many rows. A crash may have left more: their records will be read again, so they must not count now."""
    pane = Pane(start_ms)
    if (value := pieces.folded.get(start_ms)) is not None:
        record = orjson.loads(value)
        pane.folded = Aggregate.from_json(record["total"])
        pane.folded_rows = pane.rows = record["rows"]
        pane.first = record["first"]
    segments = pieces.segments.get(start_ms, {})
    for index in sorted(index for index in segments if index >= pane.first):
        segment = Rows.from_message(ObservationBatch.from_bytes(segments[index]))
        room = rows - pane.rows
        if room > 0:
            pane.restore_segment(segment.take(slice(room)), is_whole=room >= len(segment))
    return pane
