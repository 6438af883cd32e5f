"""Batches as a broker hands them out, with header names that are no UTF-8."""

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from streams.lenient_headers import LenientRecords, read_leniently

GZIP = 1


class RawName(str):
    """A header name that goes over the wire as the bytes it was made from."""

    __slots__ = ("raw",)

    def __new__(cls, raw: bytes):
        made = super().__new__(cls, "raw")
        made.raw = raw
        return made

    def encode(self, *_arguments):
        return self.raw


def batch(*records, base=0, compression=0):
    """Return one batch of (value, headers); header names are bytes."""
    builder = _DefaultRecordBatchBuilderPy(2, compression, 0, -1, -1, -1, 1 << 20)
    for offset, (value, headers) in enumerate(records):
        builder.append(offset, 1_700_000_000_000, b"k", value, [(RawName(name), found) for name, found in headers])
    data = bytearray(builder.build())
    data[:8] = base.to_bytes(8, "big")
    return bytes(data)


def read(data):
    records = LenientRecords(data)
    found = []
    while records.has_next():
        found += [(record.offset, record.value, record.headers) for record in records.next_batch()]
    return found


@pytest.mark.parametrize("compression", [0, GZIP])
def test_a_name_that_is_no_utf8_is_read_with_replacement_characters(compression):
    """In the middle of a batch, and the records around it are as they were."""
    data = batch(
        (b"1", [(b"ce_id", b"x")]),
        (b"2", [(b"\xff\xfename", b"\xff"), (b"other", None)]),
        (b"3", [("é".encode(), b"")]),
        compression=compression,
    )
    assert read(data) == [
        (0, b"1", [("ce_id", b"x")]),
        (1, b"2", [("\ufffd\ufffdname", b"\xff"), ("other", None)]),
        (2, b"3", [("é", b"")]),
    ]


def test_batches_behind_it_are_read_too():
    """What aiokafka did before was to stop here, for good."""
    data = batch((b"1", [(b"\xc3", b"")])) + batch((b"2", []), (b"3", []), base=5)
    assert [(offset, value) for offset, value, _ in read(data)] == [(0, b"1"), (5, b"2"), (6, b"3")]


def test_ordinary_batches_are_read_as_aiokafka_reads_them():
    """Record by record, with all that the fetcher asks of a batch."""
    data = batch(*[(b"%d" % n, [(b"h", b"v")]) for n in range(50)], base=7, compression=GZIP)
    plain, ours = MemoryRecords(data).next_batch(), LenientRecords(data).next_batch()
    for name in ("base_offset", "next_offset", "is_control_batch", "is_transactional", "producer_id"):
        assert getattr(plain, name) == getattr(ours, name)
    assert plain.validate_crc()
    assert ours.validate_crc()
    for expected, found in zip(plain, ours, strict=True):
        for name in ("offset", "timestamp", "timestamp_type", "key", "value", "headers", "checksum"):
            assert getattr(expected, name) == getattr(found, name)


def test_a_corrupt_batch_is_still_corrupt():
    """Leniency is for names; a structure that does not add up is told as before."""
    data = bytearray(batch((b"1", [(b"ab", b"x")])))
    data[data.index(b"ab") - 1] = 0x7E  # the length of the name: 63
    with pytest.raises(CorruptRecordException):
        read(bytes(data))


def test_the_fetcher_reads_with_it_once_told():
    """Every consumer of the process, however often it is said."""
    read_leniently()
    read_leniently()
    assert fetcher.MemoryRecords is LenientRecords
