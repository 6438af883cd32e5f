"""Keeps the windows of all tenants of this worker in a table, and publishes those that close. No Faust here.

The order of writes is the guarantee. A batch is applied in memory, then written (ids, then one record a tenant), and only then is its
caller told, who acknowledges the observations. A window that closes is first written down as decided, word for word, then published, then
removed: after a crash the same words are published again, never others.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.errors import ConfigError
from schemas.window import Observation
from streams.drift.metrics import DriftMetrics
from streams.drift.records import (
    Closing,
    Holding,
    read_key,
    read_tenant,
    saved_segments,
    segment_key,
    tenant_key,
    unsaved_segments,
    write_tenant,
)
from streams.drift.summary import Judge
from streams.drift.windows import Fate, TenantWindows, WindowRules


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record of the observations topic; `seen_ms` is when it was written there."""

    partition: int
    offset: int
    seen_ms: int
    observation: Observation


@dataclass(frozen=True, slots=True)
class Change:
    """One write to the table; no value deletes the key."""

    partition: int
    key: bytes
    value: bytes | None


class Table(Protocol):
    """A table whose keys belong to partitions, and whose writes outlive the process."""

    def scan(self) -> Iterable[Change]:
        """Return everything in the partitions this worker has."""
        ...

    async def write(self, changes: Sequence[Change]) -> None:
        """Make `changes` in this order; they are durable when this returns."""


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
        judge: Judge,
        metrics: DriftMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._publish = publish
        self._rules = rules
        self._judge = judge
        self._metrics = metrics
        self._clock = clock
        self._tenants: dict[str, Holding] = {}

    async def recover(self) -> None:
        """Forget everything and take over what the table says; publish again what may not have been published."""
        segments: dict[str, dict[int, dict[int, bytes]]] = defaultdict(lambda: defaultdict(dict))
        records: list[tuple[str, Change]] = []
        found: list[tuple[Change, str, int]] = []
        for change in self._table.scan():
            kind, tenant, start_ms, index = read_key(change.key)
            assert change.value is not None
            if kind == "tenant":
                records.append((tenant, change))
            else:
                segments[tenant][start_ms][index] = change.value
                found.append((change, tenant, start_ms))
        self._tenants = {
            tenant: read_tenant(
                tenant,
                change.partition,
                change.value or b"",
                segments[tenant],
                rules=self._rules,
                now_ms=self._now_ms(),
            )
            for tenant, change in records
        }
        ownerless = [
            change
            for change, tenant, start_ms in found
            if tenant not in self._tenants or start_ms not in self._tenants[tenant].windows.open
        ]
        await self._write([Change(change.partition, change.key, None) for change in ownerless])
        await self._settle([one for one in self._tenants.values() if one.outbox or one.windows.closed])
        self._gauge()

    async def apply(self, arrivals: Sequence[Arrival]) -> None:
        """Apply `arrivals`, in order; when this returns they may be acknowledged.

        Raises:
            ConfigError: a tenant came from two partitions; the topic was given more partitions while windows were open.
        """
        now_ms = self._now_ms()
        touched: dict[str, Holding] = {}
        for arrival in arrivals:
            observation = arrival.observation
            holding = self._holding(observation.tenant, arrival.partition)
            fate = holding.windows.apply(observation, offset=arrival.offset, seen_ms=arrival.seen_ms, now_ms=now_ms)
            self._metrics.note(observation, fate)
            if fate is not Fate.REPLAYED:
                touched[observation.tenant] = holding
        for holding in touched.values():
            holding.windows.close_due(now_ms)
        await self._settle(list(touched.values()))
        self._gauge()

    async def tick(self) -> None:
        """Close the windows that have become due by the clock, and forget tenants that have been silent for very long."""
        now_ms = self._now_ms()
        for holding in self._tenants.values():
            holding.windows.close_due(now_ms)
        await self._settle([holding for holding in self._tenants.values() if holding.windows.closed])
        forgotten = [holding for holding in self._tenants.values() if holding.windows.forgettable(now_ms)]
        await self._write(
            [Change(holding.partition, tenant_key(holding.windows.tenant), None) for holding in forgotten]
        )
        for holding in forgotten:
            del self._tenants[holding.windows.tenant]
        self._gauge()

    def _now_ms(self) -> int:
        return round(self._clock() * 1000)

    def _holding(self, tenant: str, partition: int) -> Holding:
        holding = self._tenants.get(tenant)
        if holding is None:
            holding = self._tenants[tenant] = Holding(partition, TenantWindows(tenant, self._rules))
        if holding.partition != partition:
            raise ConfigError(
                f"observations of one tenant came from partitions {holding.partition} and {partition}",
                why="the observations topic was given more partitions while windows were open",
                remedy="Let the windows close before adding partitions, or delete the changelog topic of the drift group.",
            )
        return holding

    async def _settle(self, holdings: list[Holding]) -> None:
        obsolete: list[Change] = []
        for holding in holdings:
            obsolete += self._decide(holding)
        await self._save_ids(holdings)
        await self._save_records(holdings)
        closing = [holding for holding in holdings if holding.outbox]
        if not closing:
            return
        await asyncio.gather(*(self._publish_outbox(holding) for holding in closing))
        for holding in closing:
            holding.outbox.clear()
        await self._save_records(closing)
        await self._write(obsolete)

    def _decide(self, holding: Holding) -> list[Change]:
        """Turn closed windows into words; return the writes that remove their ids, to be made last."""
        obsolete = []
        for closed in holding.windows.closed:
            tenant = holding.windows.tenant
            summary = self._judge.summary(tenant, closed)
            alert = self._judge.alert(summary)
            holding.outbox.append(Closing(summary.to_bytes().decode(), alert.to_bytes().decode() if alert else None))
            self._metrics.closed(summary, alert)
            obsolete += [
                Change(holding.partition, segment_key(tenant, closed.window.start_ms, index), None)
                for index in saved_segments(closed.window)
            ]
        holding.windows.closed.clear()
        return obsolete

    async def _save_ids(self, holdings: list[Holding]) -> None:
        changes = []
        for holding in holdings:
            for window in holding.windows.open.values():
                changes += [
                    Change(holding.partition, segment_key(holding.windows.tenant, window.start_ms, index), ids)
                    for index, ids in unsaved_segments(window)
                ]
                window.saved_ids = len(window.ids)
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
        self._metrics.open_windows.set(sum(len(holding.windows.open) for holding in self._tenants.values()))
