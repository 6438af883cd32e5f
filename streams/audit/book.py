"""What is known of each outcome id: one row of some fifty bytes, so that a million references fit into a small machine."""

from array import array
from collections.abc import Iterator
from typing import Final, Literal

from streams.audit.fingerprint import BYTES

ASKED: Final = 1
"""A record on the images topic asks for it."""
ACCEPTABLE: Final = 2
"""At least one of them is a reference; otherwise only a dead letter may answer."""
DUE: Final = 4
"""The scoring group has committed past at least one of them: an outcome must be there."""
WAITING: Final = 8
"""It lies on a retry topic, where the group has not committed past it."""
VERDICT: Final = 16
LETTER: Final = 32
ALTERED: Final = 64
"""Not all of its records, of the kind that came first, are byte-equal."""
STORED: Final = 128
DIFFERS: Final = 256
"""What is stored is not what is published."""
LETTER_FIRST: Final = 512
STRANDED: Final = 1024
"""It waits on a retry topic that the workers are not told to read."""
PUBLISHED: Final = VERDICT | LETTER

Seen = Literal["first", "repeat", "altered", "other_kind"]
_PARTITION_SHIFT = 48


def pack(partition: int, offset: int) -> int:
    """Return a place on the images topic as one number."""
    return partition << _PARTITION_SHIFT | offset


def unpack(place: int) -> tuple[int, int]:
    """Return partition and offset."""
    return place >> _PARTITION_SHIFT, place & ((1 << _PARTITION_SHIFT) - 1)


class Book:
    """Rows by outcome id (its 20 bytes). A row's number is stable; everything else about it is looked up by that number."""

    def __init__(self) -> None:
        self._rows: dict[bytes, int] = {}
        self._flags = array("H")
        self._places = array("q")
        self._fingerprints = bytearray()
        self._md5s = bytearray()
        self._more_places: set[int] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        return iter(self._rows.items())

    def find(self, raw_id: bytes) -> int | None:
        """Return the row of an id, if there is one."""
        return self._rows.get(raw_id)

    def open(self, raw_id: bytes) -> int:
        """Return the row of an id; a new one knows nothing."""
        row = self._rows.setdefault(raw_id, len(self._rows))
        if row == len(self._flags):
            self._flags.append(0)
            self._places.append(0)
            self._fingerprints += bytes(BYTES)
            self._md5s += bytes(BYTES)
        return row

    def flags(self, row: int) -> int:
        """Return all flags of a row."""
        return self._flags[row]

    def mark(self, row: int, flags: int) -> None:
        """Add flags to a row."""
        self._flags[row] |= flags

    def ask(self, raw_id: bytes, place: int, flags: int) -> bool:
        """Note that the record at `place` asks for an outcome; return whether none before it did."""
        row = self.open(raw_id)
        first = not self._flags[row] & ASKED
        if first:
            self._places[row] = place
        else:
            self._more_places.add(row << 64 | place)
        self._flags[row] |= ASKED | flags
        return first

    def asked_at(self, row: int) -> int:
        """Return the place of the first record that asks for it."""
        return self._places[row]

    def asks(self, row: int, place: int) -> bool:
        """Whether the record at `place` asks for it."""
        return self._places[row] == place or row << 64 | place in self._more_places

    def publish(self, row: int, kind: int, fingerprint: bytes) -> Seen:
        """Note a record on an outcome topic, and say what it is beside the first of its id."""
        flags, known = self._flags[row], self._slice(row)
        if not flags & PUBLISHED:
            self._flags[row] |= kind | (LETTER_FIRST if kind == LETTER else 0)
            self._fingerprints[known] = fingerprint
            return "first"
        self._flags[row] |= kind
        if not flags & kind:
            return "other_kind"
        if (kind == LETTER) != bool(flags & LETTER_FIRST) or self._fingerprints[known] == fingerprint:
            return "repeat"
        self._flags[row] |= ALTERED
        return "altered"

    def fingerprint(self, row: int) -> bytes:
        """Return what `publish` was first given."""
        return bytes(self._fingerprints[self._slice(row)])

    def expect_md5(self, row: int, md5: bytes) -> None:
        """Note what the store should show for the published outcome."""
        self._md5s[self._slice(row)] = md5

    def md5(self, row: int) -> bytes:
        """Return what `expect_md5` was given."""
        return bytes(self._md5s[self._slice(row)])

    def _slice(self, row: int) -> slice:
        return slice(row * BYTES, (row + 1) * BYTES)
