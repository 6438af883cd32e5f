"""Windows over replayed verdicts, by themselves."""

from datetime import timedelta

import pytest
from support.rescoring import DAY, SETTINGS, old_verdict

from schemas.errors import UsageError
from schemas.identity import outcome_id
from streams.drift.judging import make_judge
from streams.rescoring.replayed import opinion_of
from streams.rescoring.windows import ReplayWindows, tumbling

REAL = {"verdict": "real", "predicted_source": "real", "confidence": 0.9, "is_ai_generated": False, "p_ai": 0.1}


def counted(pairs, spec="1m"):
    windows = ReplayWindows(tumbling(spec), make_judge(SETTINGS, None), sample_images=1024)
    for new, old in pairs:
        windows.take(new, opinion_of(old), written_ms=0)
    return [change.to_json() for change in windows.changes()], windows


def shown(changes):
    return [
        (one["after"]["tenant"], one["after"]["start"], one["after"]["images"], one["before"], one["after"]["verdicts"])
        for one in changes
    ]


def test_old_and_new_lie_side_by_side_at_the_event_time_of_their_images():
    """One window over all tenants, and one of each; here a minute with two images and one with one."""
    pairs = [(old_verdict(n, **REAL), old_verdict(n)) for n in (0, 59)]
    pairs.append((old_verdict(60, tenant="other", **REAL), old_verdict(60, tenant="other", **REAL)))
    changes, windows = counted(pairs)
    first, second = "2026-11-20T00:00:00.000Z", "2026-11-20T00:01:00.000Z"
    assert shown(changes) == [
        ("*", first, 2, {"ai_generated": 2}, {"real": 2}),
        ("acme", first, 2, {"ai_generated": 2}, {"real": 2}),
        ("*", second, 1, {"real": 1}, {"real": 1}),
        ("other", second, 1, {"real": 1}, {"real": 1}),
    ]
    assert len(windows) == 4
    assert all("window_id" not in one["after"] for one in changes)  # it is the live window's, and this is another


def test_the_shares_are_corrected_as_those_of_live_windows():
    """Or it is said why they are not: with so few images."""
    changes, _ = counted([(old_verdict(n), old_verdict(n)) for n in range(3)])
    assert {one["after"]["correction"]["status"] for one in changes} == {"too_few"}
    ids = [outcome_id("replayed", str(n)) for n in range(200)]
    many, _ = counted([(old_verdict(n, outcome_id=ids[n]), old_verdict(n)) for n in range(200)], spec="1h")
    corrections = [one["after"]["correction"] for one in many]
    assert {(one["status"], one["images"]) for one in corrections} == {("unguarded", 200)}
    assert all(one["ai"]["low"] <= one["ai"]["value"] <= one["ai"]["high"] for one in corrections)


def test_more_than_one_batch_of_observations_is_counted_whole():
    """They are packed a thousand at a time."""
    new = old_verdict(0)
    pairs = [(new.model_copy(update={"outcome_id": f"{n:040x}"}), new) for n in range(2500)]
    changes, _ = counted(pairs)
    assert [one["after"]["images"] for one in changes] == [2500, 2500]


def test_a_verdict_that_windows_cannot_read_is_left_out():
    """Its source is none of its model's classes: whoever may write to the topic may write it."""
    changes, windows = counted([(old_verdict(0, predicted_source="nobody"), old_verdict(0))])
    assert (changes, len(windows)) == ([], 0)


def test_an_image_without_an_event_time_lies_where_its_verdict_was_written():
    """As in live windows."""
    new = old_verdict(0)
    new = new.model_copy(update={"source": new.source.model_copy(update={"event_time": None})})
    windows = ReplayWindows(tumbling("1m"), make_judge(SETTINGS, None), sample_images=64)
    windows.take(new, opinion_of(new), written_ms=round((DAY + timedelta(minutes=7)).timestamp() * 1000))
    assert {change.summary["start"] for change in windows.changes()} == {"2026-11-20T00:07:00.000Z"}


@pytest.mark.parametrize("text", ["", "hour", "1h/10m", "0m"])
def test_other_windows_are_refused(text):
    """A replay's windows do not overlap."""
    with pytest.raises(UsageError):
        tumbling(text)
