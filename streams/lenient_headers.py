"""Lets every client of this process read records whose header names are not UTF-8.

Kafka does not look at header names, and a client in Go or C sends whatever bytes it is given. aiokafka 0.14 decodes them strictly, within the
fetch: such a record ends the consumer, and the next one that gets the partition, for ever (seen: exit 70 at each start). Here a name's bytes
that are no UTF-8 become U+FFFD, as they do in Kafka's own client, and the record gets its dead letter like any other.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records, memory_records
from aiokafka.record.util import decode_varint_py

_V2 = 2
_MAGIC_AT = 16


def read_leniently() -> None:
    """Have aiokafka read with what stands below; may be called again."""
    fetcher.MemoryRecords = LenientRecords


class LenientRecords(memory_records._MemoryRecordsPy):  # type: ignore[misc]  # noqa: SLF001
    """The batches of a fetch, each read by aiokafka's fast reader until that fails on a name."""

    def next_batch(self) -> Any:
        """Return the next batch; raises what aiokafka raises for one that is corrupt."""
        raw = self._next_slice
        batch = super().next_batch()
        return _LenientBatch(batch, raw) if batch is not None and raw[_MAGIC_AT] >= _V2 else batch


class _LenientBatch:
    """A batch of aiokafka's that does not fail on a header's name."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        offset = -1
        try:
            for record in self._batch:
                offset = record.offset
                yield record
        except (UnicodeDecodeError, CorruptRecordException):
            for record in _SlowBatch(self._raw):  # raises again if it is corrupt indeed
                if record.offset > offset:
                    yield record


class _SlowBatch(default_records._DefaultRecordBatchPy):  # type: ignore[misc]  # noqa: SLF001
    """aiokafka's reader in Python, over bytes that decode whatever they are."""

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: Any = _Lenient(self._buffer)

    def _read_msg(self) -> Any:
        return super()._read_msg(decode_varint_py)  # the fast one takes nothing but a plain bytearray


class _Lenient(bytearray):
    """Bytes, of which a part decodes with U+FFFD for what is no UTF-8."""

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Lenient(found) if isinstance(index, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        """As `bytearray.decode`; never raises."""
        del errors
        return super().decode(encoding, "replace")
