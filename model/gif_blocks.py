"""What the blocks of a GIF begin with, and how long its colour tables are."""

from typing import Final

EXTENSION: Final = 0x21
IMAGE: Final = 0x2C
TRAILER: Final = 0x3B
_TABLE_FLAG: Final = 0x80


def table_bytes(packed: bytes) -> int:
    """Return the size of the colour table that a packed field announces; 0 where it announces none."""
    return 3 << (packed[0] & 7) + 1 if packed and packed[0] & _TABLE_FLAG else 0
