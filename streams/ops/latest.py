"""The latest verdicts: kept as they lie on the topic, and read in full only when somebody looks, since most are never shown."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from schemas.errors import MessageInvalid
from schemas.verdict import Verdict
from streams.ops.shown import verdict_json
from streams.ops.tokens import Place

Offer = Callable[[Place], str | None]
"""Returns a token for a place, or None where there is no picture of it."""


@dataclass(order=True, frozen=True, slots=True)
class _Kept:
    at_ms: int
    number: int
    value: bytes = field(compare=False)
    revision: int = field(compare=False)


class LatestVerdicts:
    """The `most` verdicts that were written last, in whatever order partitions are read."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[_Kept] = []  # a heap, the oldest first
        self._read: dict[int, Verdict | None] = {}
        self._number = 0

    def take(self, at_ms: int, value: bytes, revision: int) -> None:
        """Keep a verdict that was written at a moment, if it is among the latest."""
        self._number += 1
        one = _Kept(at_ms, self._number, value, revision)
        if len(self._kept) < self._most:
            heapq.heappush(self._kept, one)
        else:
            heapq.heappushpop(self._kept, one)

    def shown(self, *, after: int, offer: Offer) -> list[dict[str, Any]]:
        """Return those that came after a revision as the page gets them, youngest first; what cannot be read is left out."""
        newest = sorted((one for one in self._kept if one.revision > after), reverse=True)
        numbers = {one.number for one in self._kept}
        self._read = {number: verdict for number, verdict in self._read.items() if number in numbers}
        return [_json(verdict, one.at_ms, offer) for one in newest if (verdict := self._verdict(one)) is not None]

    def _verdict(self, one: _Kept) -> Verdict | None:
        if one.number not in self._read:
            try:
                verdict = Verdict.from_bytes(one.value)
                # a number beyond 64 bits would end each answer
                orjson.dumps(verdict_json(verdict, one.at_ms, None, None))
                self._read[one.number] = verdict
            except (MessageInvalid, TypeError):
                self._read[one.number] = None
        return self._read[one.number]


def _json(verdict: Verdict, at_ms: int, offer: Offer) -> dict[str, Any]:
    judged, seen = verdict.object, verdict.explanation
    overlay = None
    if seen.status == "written" and seen.bucket and seen.key:
        overlay = offer(Place("overlay", seen.bucket, seen.key))
    picture = offer(Place("image", judged.bucket, judged.key, judged.version_id, judged.etag))
    return verdict_json(verdict, at_ms, picture, overlay)
