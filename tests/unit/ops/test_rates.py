"""Minutes, points and percentiles of what came in."""

from hypothesis import given
from hypothesis import strategies as st

from streams.ops.rates import MINUTE_MS, MOST_CODES, MOST_POINTS, Rates, bucket_of, percentiles, step_for

NOW = 100 * 60 * MINUTE_MS
HOUR = 60 * MINUTE_MS


def test_verdicts_are_counted_by_the_minute_they_were_written_in() -> None:
    """Two verdicts of one minute and one of the next make two points, each with its counts and latencies."""
    rates = Rates(HOUR)
    rates.verdict(NOW - 5 * MINUTE_MS, "real", 100, now_ms=NOW)
    rates.verdict(NOW - 5 * MINUTE_MS + 59_999, "ai_generated", 100, now_ms=NOW)
    rates.verdict(NOW - 4 * MINUTE_MS, "real", None, now_ms=NOW)
    first, second = rates.points(NOW - HOUR, NOW, MINUTE_MS)
    assert (first["t"], first["verdicts"]) == (NOW - 5 * MINUTE_MS, {"real": 1, "ai_generated": 1})
    assert [round(one / 100, 1) for one in first["latency"]] == [1.0, 1.0, 1.0]
    assert (second["t"], second["verdicts"], second["latency"]) == (NOW - 4 * MINUTE_MS, {"real": 1}, None)


def test_minutes_are_put_together_in_longer_steps() -> None:
    """In steps of five minutes the counts of five minutes are one point, and its lag is the largest."""
    rates = Rates(HOUR)
    for minute in range(5):
        at_ms = NOW - HOUR + minute * MINUTE_MS
        rates.verdict(at_ms, "real", 10, now_ms=NOW)
        rates.letter(at_ms, "image_truncated", now_ms=NOW)
        rates.lag("scoring", 10 * minute, now_ms=at_ms)
    (point,) = rates.points(NOW - HOUR, NOW, 5 * MINUTE_MS)
    assert (point["verdicts"], point["letters"], point["lag"]) == ({"real": 5}, 5, {"scoring": 40})


def test_what_is_older_than_the_history_is_not_counted() -> None:
    """A record of two hours ago is none of a history of one hour, nor is a minute that has become too old."""
    rates = Rates(HOUR)
    rates.verdict(NOW - 2 * HOUR, "real", 10, now_ms=NOW)
    assert list(rates.points(0, NOW, MINUTE_MS)) == []
    rates.verdict(NOW, "real", 10, now_ms=NOW)
    rates.prune(NOW + 2 * HOUR)
    assert list(rates.points(0, NOW + 2 * HOUR, MINUTE_MS)) == []


def test_a_clock_that_is_ahead_does_not_make_minutes_of_the_future() -> None:
    """A record that claims to be of the year 2099 counts in the present minute."""
    rates = Rates(HOUR)
    rates.verdict(4_070_908_800_000, "real", 10, now_ms=NOW)
    assert [point["t"] for point in rates.points(0, NOW + 1, MINUTE_MS)] == [NOW]


def test_dead_letters_are_listed_by_code_with_the_last_minute() -> None:
    """Two codes, the more frequent first; what is no code is counted as other."""
    rates = Rates(HOUR)
    for at_ms, code in (
        (NOW - HOUR // 2, "image_truncated"),
        (NOW, "image_truncated"),
        (NOW, "<script>alert(1)</script>"),
    ):
        rates.letter(at_ms, code, now_ms=NOW)
    assert rates.letters_by_code(NOW - HOUR, NOW + 1) == [
        {"code": "image_truncated", "count": 2, "last": NOW},
        {"code": "other", "count": 1, "last": NOW},
    ]


def test_codes_are_bounded() -> None:
    """Of a thousand different codes the first are listed by name, and the rest together."""
    rates = Rates(HOUR)
    for number in range(1000):
        rates.letter(NOW, f"code_{number}", now_ms=NOW)
    listed = rates.letters_by_code(0, NOW + 1)
    assert len(listed) == MOST_CODES + 1
    assert sum(one["count"] for one in listed) == 1000


@given(st.lists(st.floats(min_value=1, max_value=100_000), min_size=1, max_size=200))
def test_percentiles_are_within_five_per_cent(latencies: list[float]) -> None:
    """The median of the buckets is as near to the true one (the lower of two) as a bucket is wide."""
    buckets: dict[int, int] = {}
    for one in latencies:
        buckets[bucket_of(one)] = buckets.get(bucket_of(one), 0) + 1
    found = percentiles(buckets)
    assert found is not None
    true = sorted(latencies)[-(-len(latencies) // 2) - 1]
    assert abs(found[0] - true) <= 0.055 * true + 0.1


@given(st.integers(min_value=1, max_value=31 * 24 * HOUR))
def test_a_range_has_a_bounded_number_of_points(range_ms: int) -> None:
    """Up to a month, no range needs more points than the page draws."""
    assert range_ms / step_for(range_ms) <= MOST_POINTS
