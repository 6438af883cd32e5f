"""What came in by the minute it was written to the broker: verdicts and their latency, dead letters by code, lag."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MINUTE_MS: Final = 60_000
STEPS_MIN: Final = (1, 2, 5, 10, 15, 30, 60, 120, 240, 720, 1440)
MOST_POINTS: Final = 240
MOST_CODES: Final = 64
OTHER: Final = "other"
QUANTILES: Final = (0.5, 0.95, 0.99)

_FIRST_MS: Final = 0.5
_WIDTH: Final = math.log(
    1.1
)  # a bucket is a tenth wider than the one before, so a percentile is within 5 % of the true one
_LAST: Final = 160  # half an hour
_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")


def bucket_of(ms: float) -> int:
    """Return the number of the latency bucket that holds `ms`."""
    return 0 if ms <= _FIRST_MS else min(_LAST, 1 + int(math.log(ms / _FIRST_MS) / _WIDTH))


def percentiles(buckets: Mapping[int, int]) -> tuple[float, ...] | None:
    """Return p50, p95 and p99 in milliseconds, each the middle of its bucket; None without any.

    >>> percentiles({bucket_of(100): 98, bucket_of(900): 2})
    (98.2, 98.2, 874.1)
    """
    total = sum(buckets.values())
    if not total:
        return None
    found: list[float] = []
    below = 0
    for number in sorted(buckets):
        below += buckets[number]
        while len(found) < len(QUANTILES) and below >= QUANTILES[len(found)] * total:
            found.append(round(_FIRST_MS * math.exp(max(0, number - 0.5) * _WIDTH), 1))
    return tuple(found)


@dataclass(slots=True)
class Minute:
    """One minute. `lag` is the most messages that each consumer group was behind."""

    verdicts: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    latencies: Counter[int] = field(default_factory=Counter)
    lag: dict[str, int] = field(default_factory=dict)


class Rates:
    """Minutes of the last `history_ms`, and no more than those: what is older falls out, what claims to be of the future counts as of now."""

    def __init__(self, history_ms: int) -> None:
        self._history_ms = history_ms
        self._minutes: dict[int, Minute] = {}
        self._codes: set[str] = set()

    def verdict(self, at_ms: int, name: str, processing_ms: float | None, *, now_ms: int) -> None:
        """Count one verdict."""
        if (minute := self._minute(at_ms, now_ms)) is not None:
            minute.verdicts[name] += 1
            if processing_ms is not None:
                minute.latencies[bucket_of(processing_ms)] += 1

    def letter(self, at_ms: int, code: str, *, now_ms: int) -> None:
        """Count one dead letter; codes that are none, and those beyond the first `MOST_CODES`, are counted together."""
        if not _CODE.fullmatch(code) or (code not in self._codes and len(self._codes) >= MOST_CODES):
            code = OTHER
        self._codes.add(code)
        if (minute := self._minute(at_ms, now_ms)) is not None:
            minute.letters[code] += 1

    def lag(self, group: str, messages: int, *, now_ms: int) -> None:
        """Take note of how far a group is behind."""
        if (minute := self._minute(now_ms, now_ms)) is not None:
            minute.lag[group] = max(messages, minute.lag.get(group, 0))

    def letters_by_code(self, since_ms: int, until_ms: int) -> list[dict[str, Any]]:
        """Return the dead letters between two moments by code, most first, with the minute of the last of each."""
        counts: Counter[str] = Counter()
        last: dict[str, int] = {}
        for start_ms in sorted(self._minutes):
            if since_ms <= start_ms < until_ms:
                counts.update(self._minutes[start_ms].letters)
                last.update(dict.fromkeys(self._minutes[start_ms].letters, start_ms))
        return [{"code": code, "count": count, "last": last[code]} for code, count in counts.most_common()]

    def points(self, since_ms: int, until_ms: int, step_ms: int) -> Iterator[dict[str, Any]]:
        """Yield one point for each `step_ms` that something is known of, in order, at multiples of `step_ms`."""
        steps: dict[int, list[Minute]] = {}
        first = since_ms // step_ms * step_ms
        for start_ms in sorted(self._minutes):
            if first <= start_ms < until_ms:
                steps.setdefault(start_ms // step_ms * step_ms, []).append(self._minutes[start_ms])
        for at_ms, minutes in steps.items():
            yield {"t": at_ms, **_together(minutes)}

    def prune(self, now_ms: int) -> None:
        """Forget what is too old."""
        for start_ms in [one for one in self._minutes if one < now_ms - self._history_ms - MINUTE_MS]:
            del self._minutes[start_ms]

    def _minute(self, at_ms: int, now_ms: int) -> Minute | None:
        at_ms = min(at_ms, now_ms)
        if at_ms < now_ms - self._history_ms:
            return None
        return self._minutes.setdefault(at_ms // MINUTE_MS * MINUTE_MS, Minute())


def step_for(range_ms: int) -> int:
    """Return the length of a point so that a range has at most `MOST_POINTS` of them.

    >>> step_for(6 * 3_600_000) // MINUTE_MS
    2
    """
    return next((n for n in STEPS_MIN if range_ms <= n * MINUTE_MS * MOST_POINTS), STEPS_MIN[-1]) * MINUTE_MS


def _together(minutes: Iterable[Minute]) -> dict[str, Any]:
    all_of_them = Minute()
    for minute in minutes:
        all_of_them.verdicts.update(minute.verdicts)
        all_of_them.letters.update(minute.letters)
        all_of_them.latencies.update(minute.latencies)
        for group, messages in minute.lag.items():
            all_of_them.lag[group] = max(messages, all_of_them.lag.get(group, 0))
    return {
        "verdicts": dict(all_of_them.verdicts),
        "letters": all_of_them.letters.total(),
        "latency": percentiles(all_of_them.latencies),
        "lag": all_of_them.lag,
    }
