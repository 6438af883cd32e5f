"""Windows as they lie in the table."""

from support.observed import SIZES, rows_of, rules, seen

from streams.drift.pane import SEGMENT_ROWS, Pane
from streams.drift.records import (
    Closing,
    Holding,
    Pieces,
    Place,
    folded_key,
    larger_key,
    read_key,
    read_tenant,
    segment_key,
    tenant_key,
    write_folded,
    write_larger,
    write_segment,
    write_tenant,
)
from streams.drift.windows import TenantWindows

RULES = rules("10s", "1m")


def heard(*at_s: float, now_s: float = 200) -> TenantWindows:
    """Windows of one record of images at these seconds."""
    windows = TenantWindows("acme", RULES)
    windows.apply(
        rows_of([seen(one) for one in at_s]), offset=7, seen_ms=round(now_s * 1000), now_ms=round(now_s * 1000)
    )
    return windows


def pieces_of(windows: TenantWindows) -> Pieces:
    """What the table has of them beside their record."""
    panes = [*windows.panes.values(), *(pane for pane, _ in windows.merging)]
    return Pieces(
        segments={
            pane.start_ms: {pane.first + at: write_segment("acme", rows) for at, rows in enumerate(pane.segments)}
            for pane in panes
        },
        folded={pane.start_ms: write_folded(pane) for pane in panes if pane.folded_rows},
        larger={key: write_larger(window) for key, window in windows.larger.items()},
    )


def read_back(holding: Holding, pieces: Pieces, now_s: float = 200) -> Holding:
    """The tenant as another worker reads it."""
    fresh = TenantWindows("acme", RULES)
    return read_tenant(holding.partition, write_tenant(holding), pieces, fresh, now_ms=round(now_s * 1000))


def test_keys_say_what_they_are_of() -> None:
    """A key is readable JSON and reads back, whatever characters a tenant has."""
    assert tenant_key("a|b") == b'["tenant","a|b"]'
    assert read_key(tenant_key("a|b")) == Place("tenant", "a|b")
    assert read_key(segment_key('x"y', 60_000, 3)) == Place("rows", 'x"y', 60_000, 3)
    assert read_key(folded_key("*", 60_000)) == Place("folded", "*", 60_000)
    assert read_key(larger_key("*", "1h/10m", 60_000)) == Place("window", "*", 60_000, spec="1h/10m")


def test_a_record_reads_back() -> None:
    """Panes, watermark, offset, late ones, larger windows, what the judge remembers and the outbox come back as they were written."""
    windows = heard(101, 105, 116, now_s=116)
    windows.close_due(119_500)
    windows.closed.clear()
    windows.merging.clear()
    windows.late = 3
    holding = Holding(2, windows, [Closing("summary"), Closing("summary 2", ("alert 2",))], {"episodes": {}})
    back = read_back(holding, pieces_of(windows))
    assert write_tenant(back) == write_tenant(holding)
    assert (back.partition, back.windows.applied, back.windows.late) == (2, 7, 3)
    assert back.outbox == [Closing("summary"), Closing("summary 2", ("alert 2",))]
    assert {at: pane.aggregate(SIZES).to_bytes() for at, pane in back.windows.panes.items()} == {
        at: pane.aggregate(SIZES).to_bytes() for at, pane in windows.panes.items()
    }
    assert {key: one.total.to_bytes() for key, one in back.windows.larger.items()} == {
        key: one.total.to_bytes() for key, one in windows.larger.items()
    }


def test_a_restored_pane_knows_its_images() -> None:
    """A repeat after a restart is recognised."""
    holding = Holding(0, heard(101))
    back = read_back(holding, pieces_of(holding.windows))
    fates, _ = back.windows.apply(rows_of([seen(101)]), offset=8, seen_ms=200_000, now_ms=200_000)
    assert fates == {"repeated": 1}


def test_rows_that_the_record_does_not_know_of_do_not_count() -> None:
    """A crash between rows and record leaves rows too many; those images are read again and must count then, once."""
    windows = heard(101)
    holding = Holding(0, windows)
    value = write_tenant(holding)
    windows.apply(rows_of([seen(102)]), offset=8, seen_ms=200_000, now_ms=200_000)
    back = read_tenant(0, value, pieces_of(windows), TenantWindows("acme", RULES), now_ms=200_000).windows
    assert back.panes[100_000].rows == 1
    assert [index for index, _ in back.panes[100_000].unsaved()] == [0]
    fates, _ = back.apply(rows_of([seen(102)]), offset=8, seen_ms=200_000, now_ms=200_000)
    assert fates == {"counted": 1}


def test_a_pane_that_was_not_merged_is_merged_when_it_is_read() -> None:
    """A crash between what is decided and the larger windows leaves them without the pane; it is added once, however often it is read."""
    windows = heard(101, 105, 116, now_s=116)
    before = pieces_of(windows)
    windows.close_due(119_500)
    after = pieces_of(windows)
    windows.closed.clear()
    holding = Holding(0, windows)
    for larger in (before.larger, after.larger):
        back = read_back(holding, Pieces(after.segments, {}, larger))
        assert back.windows.larger["1m", 60_000].total.images == 2
        assert [closed.total.images for _, closed in back.windows.merging] == [2]


def test_a_folded_pane_reads_back() -> None:
    """What was counted of rows that are gone is there, and the rows after it."""
    windows = heard(101, 102)
    pane = windows.panes[100_000]
    pane.saved()
    pane.fold(SIZES)
    windows.apply(rows_of([seen(103)]), offset=8, seen_ms=200_000, now_ms=200_000)
    back = read_back(Holding(0, windows), pieces_of(windows)).windows.panes[100_000]
    assert (back.rows, back.folded_rows, back.first) == (3, 2, 1)
    assert back.aggregate(SIZES).to_bytes() == pane.aggregate(SIZES).to_bytes()


def test_only_the_last_segment_is_written_again() -> None:
    """Full segments that the table has are left alone."""
    pane = Pane(0)
    images = [seen(n / 1000) for n in range(SEGMENT_ROWS + 30)]
    pane.add(rows_of(images[:1000]), max_rejects=8, now_ms=0)
    pane.saved()
    assert list(pane.unsaved()) == []
    pane.add(rows_of(images[1000:1020]), max_rejects=8, now_ms=0)
    assert [(index, len(rows)) for index, rows in pane.unsaved()] == [(0, 1020)]
    pane.saved()
    pane.add(rows_of(images[1020:]), max_rejects=8, now_ms=0)
    assert [(index, len(rows)) for index, rows in pane.unsaved()] == [(1, 34)]
