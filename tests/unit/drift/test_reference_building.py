"""A reference from windows, or from a report card."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from support.drift_windows import NOON, closed, corrected, drifted

from schemas.errors import CheckFailed, UsageError
from schemas.reference import DriftReference
from streams.drift.pooling import Pool
from streams.drift.reference_building import from_report_card, from_windows, said_of

MADE = datetime(2026, 11, 25, 3, 30, tzinfo=UTC)
CARD = {
    "checkpoint": {"version": "m7", "classes": ["real", "flux"], "calibration_id": "c7", "sha256": "ignored"},
    "sets": {"test": {"clean": {"by_class": {"real": 60, "flux": 40}, "confusion": [[54, 6], [10, 30]], "n": 100}}},
}


def build(*summaries, min_images=100, note="", made=MADE) -> DriftReference:
    pool = Pool()
    for summary in summaries:
        pool.take(summary)
    return from_windows(
        pool,
        tenant="*",
        window="1h",
        since=NOON,
        until=NOON + timedelta(hours=2),
        min_images=min_images,
        made=made,
        note=note,
    )


def test_a_reference_of_windows():
    """Shares of the counts, corrected ones beside them, and what both rest on."""
    made = build(
        closed(
            {"real": 60, "flux": 40}, correction=corrected(real=0.98, flux=0.02), confidence_histogram=(0,) * 9 + (100,)
        ),
        closed({"real": 100}, hour=1, divergences=drifted("drifting", "e")),
        note="calm",
    )
    assert made.version.startswith("20261125T033000000Z-")
    assert made.shares == {"flux": 0.2, "real": 0.8}
    assert made.corrected == {"flux": 0.02, "real": 0.98}
    assert (made.images, made.corrected_images) == (200, 100)
    assert (made.source.windows, made.source.drifting) == (2, 1)
    assert made.confidence_histogram == (0,) * 9 + (100,)
    assert said_of(made.source) == "2 windows of 1h, 2026-11-20T12:00Z to 2026-11-20T14:00Z"
    assert DriftReference.from_bytes(made.to_bytes()) == made


def test_versions_of_one_second_are_in_the_order_in_which_they_were_made():
    """The history and "the oldest first" go by the name."""
    first, second = (
        build(closed({"real": 200}), made=MADE + timedelta(milliseconds=later), note=note)
        for later, note in ((5, "first"), (70, "second"))
    )
    assert first.version.startswith("20261125T033000005Z-")
    assert sorted([second.version, first.version]) == [first.version, second.version]


def test_shares_are_rounded_and_still_sum_to_one():
    """A third has no end; the largest share takes what rounding leaves."""
    shares = build(closed({"real": 50, "flux": 50, "dalle3": 50})).shares
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
    assert sorted(shares.values()) == [0.333333, 0.333333, 0.333334]


def test_two_references_made_at_once_are_two():
    """The version tells what is in it."""
    assert build(closed({"real": 100})).version != build(closed({"real": 101})).version


def test_too_few_images_are_refused():
    """The error says how many there are and how many are asked for."""
    with pytest.raises(CheckFailed, match="99 decided images are too few") as caught:
        build(closed({"real": 99}))
    assert "at least 100" in caught.value.why


def test_a_range_without_photographs_is_refused():
    """A reference without `real` cannot be compared with anything."""
    with pytest.raises(CheckFailed, match="photograph"):
        build(closed({"flux": 100}))


def test_a_reference_of_a_report_card(tmp_path):
    """As the model called the test images, and as they are; where the card has a calibration profile, that goes along."""
    profile = {
        "calibration_id": "c7",
        "classes": ["real", "flux"],
        "prior": [0.5, 0.5],
        "cells": {"real": [3, 1], "flux": [1, 3]},
    }
    path = tmp_path / "report.json"
    path.write_bytes(orjson.dumps({**CARD, "profile": profile}))
    made = from_report_card(path, tenant="acme", made=MADE)
    assert made.shares == {"real": 0.64, "flux": 0.36}
    assert made.corrected == {"real": 0.6, "flux": 0.4}
    assert (made.tenant, made.images, made.model_versions) == ("acme", 100, ("m7",))
    assert made.profile is not None
    assert made.profile.cells["flux"] == (1, 3)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"schema": "deeptrace.report/1"}'])
def test_what_is_no_report_card_is_said_so(tmp_path, content):
    """Broken, of another kind, or empty."""
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is not a report card"):
        from_report_card(path, tenant="*", made=MADE)


def test_a_card_that_is_not_there(tmp_path):
    """The system's own word for it."""
    with pytest.raises(UsageError, match="No such file"):
        from_report_card(tmp_path / "none.json", tenant="*", made=MADE)


@pytest.mark.parametrize(
    "sets",
    [
        {},
        {"test": {"clean": {"by_class": {}, "confusion": [[1]]}}},
        {"test": {"clean": {"by_class": {}, "confusion": [[0, 0], [1, 1]]}}},
    ],
)
def test_a_card_without_photographs_to_count_is_refused(tmp_path, sets):
    """No test split, one that does not fit the classes, one without `real`."""
    path = tmp_path / "report.json"
    path.write_bytes(orjson.dumps({**CARD, "sets": sets}))
    with pytest.raises(CheckFailed):
        from_report_card(path, tenant="*", made=MADE)
