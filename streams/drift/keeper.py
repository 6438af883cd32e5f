"""Keeps the windows of all tenants of this worker in a table, and publishes those that close. No Faust here.

The order of writes is the guarantee. A batch is applied in memory, then written (rows, then one record a tenant), and only then is its
caller told, who acknowledges the observations. Windows that close are first written down as decided, word for word, then the larger windows
take in their panes, then the words are published, then all that is done with is removed: after a crash the same words are published again,
never others, and no pane is added twice.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from schemas.errors import ConfigError
from schemas.window import OVERALL
from streams.drift.metrics import DriftMetrics
from streams.drift.pane import Pane
from streams.drift.records import (
    Closing,
    Holding,
    Pieces,
    Place,
    folded_key,
    is_readable,
    larger_key,
    read_key,
    read_tenant,
    segment_key,
    tenant_key,
    write_folded,
    write_larger,
    write_segment,
    write_tenant,
)
from streams.drift.rows import Rows
from streams.drift.summary import Words
from streams.drift.windows import ClosedWindow, Fate, TenantWindows, WindowRules
from streams.settings import DriftSettings


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record of the observations topic; `seen_ms` is when it was written there."""

    partition: int
    offset: int
    seen_ms: int
    tenant: str
    rows: Rows


@dataclass(frozen=True, slots=True)
class Change:
    """One write to the table; no value deletes the key."""

    partition: int
    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """How many tenants have windows of their own, and how long one that is silent is remembered."""

    tenants: int
    max_past_ms: int

    @classmethod
    def of(cls, settings: DriftSettings) -> Self:
        """Return the limits of the settings."""
        return cls(settings.max_tenants, round(settings.max_past_s * 1000))


class Table(Protocol):
    """A table whose keys belong to partitions, and whose writes outlive the process."""

    def scan(self) -> Iterable[Change]:
        """Return everything in the partitions this worker has."""
        ...

    async def write(self, changes: Sequence[Change]) -> None:
        """Make `changes` in this order; they are durable when this returns."""


class Judge(Protocol):
    """Puts closed windows into words. What it must remember from one window to the next is in `memory`, as JSON."""

    def judge(self, tenant: str, closed: ClosedWindow, memory: dict[str, Any]) -> tuple[Words, dict[str, Any]]:
        """Return the words on a window, and the new memory; the same arguments give the same."""
        ...


Publish = Callable[[str, Closing], Awaitable[None]]
"""Publishes one closing of a tenant; returns when the broker has it."""


class WindowKeeper:
    """The windows of the tenants in this worker's partitions. One call at a time."""

    def __init__(
        self,
        table: Table,
        publish: Publish,
        *,
        rules: WindowRules,
        limits: TenantLimits,
        judge: Judge,
        metrics: DriftMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._publish = publish
        self._rules = rules
        self._limits = limits
        self._judge = judge
        self._metrics = metrics
        self._clock = clock
        self._tenants: dict[str, Holding] = {}

    async def recover(self) -> None:
        """Forget everything and take over what the table says; publish again what may not have been published.

        Records of an earlier release are removed: their offsets are of another topic.
        """
        pieces: dict[str, Pieces] = {}
        records: dict[str, Change] = {}
        found: list[tuple[Place, Change]] = []
        for change in self._table.scan():
            assert change.value is not None
            place = read_key(change.key)
            found.append((place, change))
            of_tenant = pieces.setdefault(place.tenant, Pieces())
            match place.kind:
                case "tenant" if is_readable(change.value):
                    records[place.tenant] = change
                case "rows":
                    of_tenant.segments.setdefault(place.start_ms, {})[place.segment] = change.value
                case "folded":
                    of_tenant.folded[place.start_ms] = change.value
                case "window":
                    of_tenant.larger[place.spec, place.start_ms] = change.value
        now_ms = self._now_ms()
        self._tenants = {
            tenant: read_tenant(
                change.partition, change.value or b"", pieces[tenant], self._fresh_windows(tenant), now_ms=now_ms
            )
            for tenant, change in records.items()
        }
        ownerless = [change for place, change in found if not self._is_owned(place)]
        await self._write([Change(change.partition, change.key, None) for change in ownerless])
        unsaid = [
            one for one in self._tenants.values() if one.outbox or one.windows.merging or one.windows.has_due(now_ms)
        ]
        await self._settle(unsaid, now_ms)
        self._gauge()

    async def apply(self, arrivals: Sequence[Arrival]) -> None:
        """Apply `arrivals`, in order; when this returns they may be acknowledged.

        Raises:
            ConfigError: a tenant came from two partitions; the topic was given more partitions while windows were open.
        """
        now_ms = self._now_ms()
        touched: dict[str, Holding] = {}
        for arrival in arrivals:
            holding = self._holding(arrival.tenant, arrival.partition)
            if holding is None:
                self._metrics.note(arrival.tenant, Counter({Fate.OVER_LIMIT: len(arrival.rows)}), [])
                continue
            applied_before = holding.windows.applied
            fates, counted = holding.windows.apply(
                arrival.rows, offset=arrival.offset, seen_ms=arrival.seen_ms, now_ms=now_ms
            )
            self._metrics.note(arrival.tenant, fates, counted)
            if holding.windows.applied != applied_before:
                touched[arrival.tenant] = holding
        await self._save(list(touched.values()))
        await self._settle(list(touched.values()), now_ms)
        self._gauge()

    async def tick(self) -> None:
        """Close the windows that have become due by the clock, and forget tenants that have been silent for very long."""
        now_ms = self._now_ms()
        await self._settle([one for one in self._tenants.values() if one.windows.has_due(now_ms)], now_ms)
        past_ms = self._limits.max_past_ms
        forgotten = [one for one in self._tenants.values() if one.windows.forgettable(now_ms, past_ms)]
        await self._write([Change(one.partition, tenant_key(one.windows.tenant), None) for one in forgotten])
        for holding in forgotten:
            del self._tenants[holding.windows.tenant]
            self._metrics.latest.drop(holding.windows.tenant)
        self._gauge()

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)

    def _fresh_windows(self, tenant: str) -> TenantWindows:
        return TenantWindows(tenant, self._rules, self._rules.overall_sizes if tenant == OVERALL else None)

    def _holding(self, tenant: str, partition: int) -> Holding | None:
        holding = self._tenants.get(tenant)
        if holding is None:
            if tenant != OVERALL and len(self._tenants) - (OVERALL in self._tenants) >= self._limits.tenants:
                return None
            holding = self._tenants[tenant] = Holding(partition, self._fresh_windows(tenant))
        if holding.partition != partition:
            raise ConfigError(
                f"observations of one tenant came from partitions {holding.partition} and {partition}",
                why="the observations topic was given more partitions while windows were open",
                remedy="Let the windows close before adding partitions, or delete the changelog topic of the drift group.",
            )
        return holding

    def _is_owned(self, place: Place) -> bool:
        holding = self._tenants.get(place.tenant)
        if holding is None:
            return False
        windows = holding.windows
        panes: dict[int, Pane] = windows.panes | {pane.start_ms: pane for pane, _ in windows.merging}
        match place.kind:
            case "rows":
                return place.start_ms in panes and place.segment in panes[place.start_ms].numbers()
            case "folded":
                return place.start_ms in panes
            case "window":
                return (place.spec, place.start_ms) in windows.larger
        return True

    async def _settle(self, holdings: list[Holding], now_ms: int) -> None:
        """Close what is due, in rounds whose words fit into the tenants' records."""
        while holdings:
            for holding in holdings:
                if not holding.outbox:  # what is yet to be said since before a crash would lie in one record with more
                    holding.windows.close_due(now_ms)
            closing = [one for one in holdings if one.outbox or one.windows.closed or one.windows.merging]
            await self._say(closing)
            holdings = [one for one in closing if one.windows.has_due(now_ms)]

    async def _save(self, holdings: list[Holding]) -> None:
        """Write what was counted."""
        await self._fold(holdings)
        panes = [(holding, pane) for holding in holdings for pane in holding.windows.panes.values()]
        await self._write(
            [
                Change(one.partition, segment_key(tenant, pane.start_ms, index), write_segment(tenant, rows))
                for one, pane in panes
                for tenant in [one.windows.tenant]
                for index, rows in pane.unsaved()
            ]
        )
        for _, pane in panes:
            pane.saved()
        await self._save_records(holdings)

    async def _fold(self, holdings: list[Holding]) -> None:
        kept, obsolete = [], []
        for holding in holdings:
            tenant = holding.windows.tenant
            for pane, numbers in holding.windows.fold_full_panes():
                kept.append(Change(holding.partition, folded_key(tenant, pane.start_ms), write_folded(pane)))
                obsolete += [
                    Change(holding.partition, segment_key(tenant, pane.start_ms, index), None) for index in numbers
                ]
        await self._write(kept)
        await self._write(obsolete)

    async def _say(self, holdings: list[Holding]) -> None:
        """Decide, write down, merge, publish, forget, in this order."""
        if not holdings:
            return
        obsolete = [change for holding in holdings for change in self._obsolete(holding)]
        await asyncio.to_thread(self._decide, holdings)  # statistics are heavy, and the loop must not wait for them
        await self._save_records(holdings)
        await self._save_larger(holdings)
        await asyncio.gather(*(self._publish_outbox(holding) for holding in holdings))
        for holding in holdings:
            holding.outbox.clear()
            holding.windows.merging.clear()
            holding.windows.ended.clear()
        await self._save_records(holdings)
        await self._write(obsolete)

    def _decide(self, holdings: list[Holding]) -> None:
        """Turn closed windows into words."""
        for holding in holdings:
            for closed in holding.windows.closed:
                words, holding.memory = self._judge.judge(holding.windows.tenant, closed, holding.memory)
                holding.outbox.append(words.closing())
                self._metrics.closed(words.summary, words.alerts)
            holding.windows.closed.clear()

    def _obsolete(self, holding: Holding) -> list[Change]:
        """Return the writes that remove what closed windows leave behind, to be made last."""
        tenant, windows = holding.windows.tenant, holding.windows
        keys = []
        for pane, _ in windows.merging:
            keys += [segment_key(tenant, pane.start_ms, index) for index in pane.numbers()]
            keys += [folded_key(tenant, pane.start_ms)] if pane.folded_rows else []
        keys += [larger_key(tenant, spec, start_ms) for spec, start_ms in windows.ended]
        return [Change(holding.partition, key, None) for key in keys]

    async def _save_larger(self, holdings: list[Holding]) -> None:
        changes = []
        for holding in holdings:
            for window in holding.windows.larger.values():
                if window.saved_through_ms != window.through_ms:
                    key = larger_key(holding.windows.tenant, window.spec.name, window.start_ms)
                    changes.append(Change(holding.partition, key, write_larger(window)))
                    window.saved_through_ms = window.through_ms
        await self._write(changes)

    async def _save_records(self, holdings: list[Holding]) -> None:
        await self._write(
            [
                Change(holding.partition, tenant_key(holding.windows.tenant), write_tenant(holding))
                for holding in holdings
            ]
        )

    async def _write(self, changes: list[Change]) -> None:
        if changes:
            await self._table.write(changes)
            self._metrics.table_writes.inc(len(changes))

    async def _publish_outbox(self, holding: Holding) -> None:
        for closing in holding.outbox:  # one after the other: a tenant's windows appear in order
            await self._publish(holding.windows.tenant, closing)

    def _gauge(self) -> None:
        self._metrics.tenants.set(len(self._tenants))
        self._metrics.open_windows.set(
            sum(len(holding.windows.panes) + len(holding.windows.larger) for holding in self._tenants.values())
        )
