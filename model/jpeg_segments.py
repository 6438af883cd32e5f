"""The segments of a JPEG up to its first scan, found as Pillow finds them, but without its walk through fill and junk byte by byte."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SCAN: Final = 0xDA
END: Final = 0xD9
# Start-of-frame markers; C4, C8 and CC in their midst mean other things.
FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# No length follows, or Pillow reads none; FF 00 is junk that was escaped.
_BARE: Final = frozenset({0x00, 0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})
_GAP: Final = re.compile(rb"[^\xff]*+\xff++")
_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker, where its body begins (behind the length) and how much lies between it and the segment before."""

    marker: int
    at: int
    gap: int


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments from the start marker on; the last one is the first scan's, if the file has one."""
    at = 2
    while (found := _GAP.match(data, at)) and found.end() < len(data):
        marker, body = data[found.end()], found.end() + 1
        bare = marker in _BARE
        yield Segment(marker, body + (0 if bare else 2), found.end() - 1 - at)
        if marker == SCAN:
            return
        at = body + (0 if bare else int.from_bytes(data[body : body + 2], "big"))


def scans(data: bytes, at: int) -> int:
    """Return how many scans there are from the first scan's body on; what follows the picture's end does not count."""
    most = 1 + data.count(bytes((0xFF, SCAN)), at)
    if most == 1:  # nearly always: a search in the entropy-coded bytes is slower than a count
        return most
    found = 1
    while (marker := _NEXT_MARKER.search(data, at)) and data[marker.start() + 1] != END:
        found += data[marker.start() + 1] == SCAN
        at = marker.end()
    return found
