"""A Faust table that says when its writes are safe, and which partition a key belongs to.

Faust's own table takes the partition from the event that the agent happens to be at and sends changes without waiting; its buffer's flush
gives up after 0.1 s. Here the writer names the partition and waits for the broker's word, and keys of partitions that went to another
worker leave the memory (Faust only drops those that it read from the changelog, not those that were written here).
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import faust
from faust.tables.table import Table
from faust.types import TP, EventT, FutureMessage

from streams.drift.keeper import Change


class ChangelogTable(Table[bytes, bytes]):  # type: ignore[misc]  # Faust types its tables as Any
    """Bytes to bytes, in memory, with a changelog. Written only through `write`."""

    _partition: int | None = None

    def __init__(self, app: faust.App, *, name: str) -> None:
        super().__init__(app, name=name, key_type=bytes, value_type=bytes, partitions=app.conf.topic_partitions)
        self._partitions: dict[bytes, int] = {}
        self._sent: list[FutureMessage[Any]] = []

    def scan(self) -> Iterator[Change]:
        """Yield everything in the partitions of this worker."""
        for key, value in list(self.data.items()):
            yield Change(self._partitions[key], key, value)

    async def write(self, changes: Sequence[Change]) -> None:
        """Make `changes`, in this order; return when the broker has them all.

        Raises:
            KafkaError: the broker did not take one; memory and changelog differ then, and this worker must end.
        """
        for change in changes:
            self._partition = change.partition
            if change.value is not None:
                self[change.key] = change.value
                self._partitions[change.key] = change.partition
            elif change.key in self._partitions:
                del self[change.key]
                del self._partitions[change.key]
        sent, self._sent = self._sent, []
        await asyncio.gather(*sent)

    def partition_for_key(self, key: Any) -> int | None:  # noqa: ARG002  # Faust's signature
        """Return the partition of the change being made."""
        assert self._partition is not None, "only write() changes this table"
        return self._partition

    def send_changelog(self, *args: Any, **options: Any) -> FutureMessage[Any]:
        """Remember each change that is sent, so that `write` can wait for it."""
        future = super().send_changelog(*args, **options)
        self._sent.append(future)
        return future

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]]) -> None:
        """Take over changes during recovery, with their partitions."""
        events = list(batch)
        super().apply_changelog_batch(events)
        for event in events:
            key = event.message.key
            if key in self.data:
                self._partitions[key] = event.message.partition
            else:
                self._partitions.pop(key, None)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Let go of the partitions that went to another worker, then tell who waits for the table."""
        ours = {tp.partition for tp in active_tps}
        for key in [key for key, partition in self._partitions.items() if partition not in ours]:
            self.data.pop(key, None)
            del self._partitions[key]
        await super().on_recovery_completed(active_tps, standby_tps)
