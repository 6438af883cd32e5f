"""How a companion works off a topic, record by record. The intake is a double without a broker."""

import asyncio
from types import SimpleNamespace

import pytest

from streams.drift.following import one_by_one
from streams.ledger import Ledger


class Records:
    """An intake that gives these values once, as offsets 0, 1, 2, ... of one partition, and then raises."""

    def __init__(self, *values: bytes) -> None:
        self.values = values
        self.committed: list[int] = []
        self.ledger = Ledger[int](self.committed.append)
        self.given = False

    async def batch(self):
        if self.given:
            raise EOFError
        self.given = True
        return [
            (
                self.ledger.register("t", 0, 1, offset, offset),
                SimpleNamespace(value=value, topic="t", partition=0, offset=offset),
            )
            for offset, value in enumerate(self.values)
        ]

    def finish(self, entry) -> None:
        self.ledger.finish(entry)

    async def commit(self) -> None:
        """Nothing to be asked."""


async def run(records: Records, handle) -> None:
    with pytest.raises(EOFError):
        await one_by_one(handle)(records)


async def test_each_record_is_done_before_the_next_begins():
    """And committed then."""
    seen: list[tuple[bytes, list[int]]] = []
    records = Records(b"a", b"b")

    async def handle(value):
        await asyncio.sleep(0)
        seen.append((value, list(records.committed)))

    await run(records, handle)
    assert seen == [(b"a", []), (b"b", [0])]
    assert records.committed == [0, 1]


async def test_a_record_that_cannot_be_handled_holds_up_nothing():
    """It is logged and left behind."""
    seen: list[bytes] = []
    records = Records(b"bad", b"good")

    async def handle(value):
        if value == b"bad":
            raise ValueError(value)
        seen.append(value)

    await run(records, handle)
    assert (seen, records.committed) == ([b"good"], [0, 1])


async def test_what_another_worker_was_given_is_left_to_it():
    """The partition was taken away between two records."""
    seen: list[bytes] = []
    records = Records(b"a", b"b")

    async def handle(value):
        seen.append(value)
        records.ledger.drop(records.ledger.lanes())

    await run(records, handle)
    assert (seen, records.committed) == ([b"a"], [])
