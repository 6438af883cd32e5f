"""Windows as they lie in the table."""

from streams.drift.records import (
    Closing,
    Holding,
    read_key,
    read_tenant,
    saved_segments,
    segment_key,
    tenant_key,
    unsaved_segments,
    write_tenant,
)
from streams.drift.windows import SEGMENT_IDS, TenantWindows, Window, fingerprint_of


def remembered(count: int, *, saved: int = 0) -> Window:
    return Window(0, 10_000, ids=list(range(count)), saved_ids=saved)


def test_keys_say_what_they_are_of() -> None:
    """A key is readable JSON and reads back, whatever characters a tenant has."""
    assert tenant_key("a|b") == b'["tenant","a|b"]'
    assert read_key(tenant_key("a|b")) == ("tenant", "a|b", 0, 0)
    assert read_key(segment_key('x"y', 60_000, 3)) == ("ids", 'x"y', 60_000, 3)


def test_a_record_reads_back(rules, observe) -> None:
    """Counts, watermark, offset, late ones, remembered ids and the outbox come back as they were written."""
    windows = TenantWindows("acme", rules)
    windows.apply(observe(101, probs={"flux": 0.25}), offset=7, seen_ms=101_000, now_ms=101_000)
    windows.late, windows.closed_until_ms = 3, 90_000
    segments = {100_000: dict(unsaved_segments(windows.open[100_000]))}
    value = write_tenant(Holding(2, windows, [Closing("summary", None), Closing("summary 2", "alert 2")]))
    back = read_tenant("acme", 2, value, segments, rules=rules, now_ms=101_000)
    windows.open[100_000].saved_ids = 1
    assert back.windows.open == windows.open
    assert (back.windows.applied, back.windows.late, back.windows.closed_until_ms) == (7, 3, 90_000)
    assert back.windows.watermark == windows.watermark
    assert back.outbox == [Closing("summary", None), Closing("summary 2", "alert 2")]
    assert write_tenant(back) == value


def test_ids_that_the_record_does_not_know_of_are_not_seen(rules, observe) -> None:
    """A crash between ids and record leaves ids too many; those images are read again and must count then."""
    windows = TenantWindows("acme", rules)
    windows.apply(observe(101, outcome_id="a"), offset=0, seen_ms=101_000, now_ms=101_000)
    value = write_tenant(Holding(0, windows))
    windows.apply(observe(102, outcome_id="b"), offset=1, seen_ms=102_000, now_ms=102_000)
    segments = {100_000: dict(unsaved_segments(windows.open[100_000]))}
    back = read_tenant("acme", 0, value, segments, rules=rules, now_ms=101_000)
    assert back.windows.open[100_000].seen == {fingerprint_of("a")}


def test_only_the_last_segment_is_written_again() -> None:
    """Full segments that the table has are left alone."""
    window = remembered(SEGMENT_IDS + 3, saved=SEGMENT_IDS + 1)
    assert [(index, len(ids)) for index, ids in unsaved_segments(window)] == [(1, 3 * 8)]


def test_nothing_new_is_nothing_to_write() -> None:
    """A window whose ids are all in the table has no segment to write."""
    assert list(unsaved_segments(remembered(3, saved=3))) == []


def test_many_new_ids_fill_several_segments() -> None:
    """A large batch ends one segment and starts others."""
    window = remembered(2 * SEGMENT_IDS + 1, saved=SEGMENT_IDS - 1)
    assert [index for index, _ in unsaved_segments(window)] == [0, 1, 2]
    window.saved_ids = len(window.ids)
    assert list(saved_segments(window)) == [0, 1, 2]
