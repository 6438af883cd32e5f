"""Whether windows tell the truth about a stream whose mix is known: `make drift-report` in small."""

import pytest
from bench.drift_figures import USUAL_AI, Stream, alerts, first_after, share_at, stream


@pytest.fixture(scope="module")
def told() -> Stream:
    """30,000 verdicts through the windows of the worker: ten minutes each of 2 % AI, of 10 %, and of 10 % and as much of an unknown generator."""
    return stream(3, (10, 10, 10))


def test_every_window_is_judged_once(told) -> None:
    """Thirty windows of a minute and three of ten, none lost and none twice."""
    assert len({minute.said.window_id for minute in told.minutes}) == 30
    assert [one.phase for one in told.larger] == [0, 1, 2]
    assert {minute.said.images for minute in told.minutes} == {1000}


@pytest.mark.parametrize("phase", [0, 1])
def test_corrected_is_near_the_truth_and_raw_is_not(told, phase) -> None:
    """In the mean over ten windows the corrected share is within a point of the truth, the raw one over ten away."""
    minutes = told.of(phase)
    corrected = [minute.said.correction.ai.value for minute in minutes]
    truth = minutes[0].truth_ai
    assert sum(corrected) / 10 == pytest.approx(truth, abs=0.01)
    assert sum(minute.raw_ai for minute in minutes) / 10 > truth + 0.1


def test_an_unknown_generator_voids_the_correction_and_is_named(told) -> None:
    """Known mixes pass, the unknown generator does not; it is a candidate in its ten minutes, by its own images, and nothing is before."""
    assert told.statuses(0)["ok"] == told.statuses(1)["ok"] == 10
    assert told.statuses(2)["void"] >= 9
    assert [one.candidates for one in told.larger] == [0, 0, 1]
    assert told.larger[2].unknown == 1.0


def test_void_windows_are_compared_by_their_raw_counts(told) -> None:
    """Each window says on what its distance rests."""
    by_status = {minute.said.correction.status: minute.said.divergences.basis for minute in told.minutes}
    assert by_status == {"ok": "corrected", "void": "raw"}


def test_the_change_is_told_at_once_and_nothing_before(told) -> None:
    """At 0.05 nats the step from 2 % to 10 % raises one alert within three windows."""
    raised, _ = alerts([minute.said.divergences for minute in told.minutes if minute.phase < 2], 0.05)
    assert len(raised) == 1
    assert first_after(raised, 10) in {1, 2, 3}


def test_the_usual_share_is_no_distance() -> None:
    """The share at a threshold of nearly nothing is the usual one."""
    assert share_at(1e-9) == pytest.approx(USUAL_AI, abs=1e-4)
