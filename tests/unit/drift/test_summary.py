"""What is said of a closed window."""

import base64
from dataclasses import replace

import orjson
import pytest
from support.observed import SIZES, rows_of, seen

from schemas.window import OVERALL, DriftAlert, StoredObject, WindowSummary
from streams.drift.aggregate import aggregate_of
from streams.drift.candidates import CandidateRules
from streams.drift.episodes import EpisodeRules
from streams.drift.judge import WindowJudge
from streams.drift.profiles import Profiles
from streams.drift.reference import FixedReferences, Reference
from streams.drift.specs import parse_spec
from streams.drift.windows import ClosedWindow

EVEN = FixedReferences(Reference({"real": 0.5, "flux": 0.5}))
NONE = FixedReferences(None)


def judge(references=EVEN, *, threshold=0.25, min_images=100, **options) -> WindowJudge:
    """A judge with these rules and no calibration profile."""
    return WindowJudge(references, Profiles({}), EpisodeRules(threshold, 0.6, 2, min_images), pane="5m", **options)


def closed(images, *, late: int = 0, spec: str = "5m", start_ms: int = 900_000) -> ClosedWindow:
    """The window of these images."""
    return ClosedWindow(parse_spec(spec), start_ms, aggregate_of(rows_of(images), SIZES), late)


def of(*, probs=(), **counts: int) -> list:
    """So many images of each source."""
    return [
        seen(1000 + n / 1000, outcome_id=f"{source}-{n}", source=source, probs=probs)
        for source, count in counts.items()
        for n in range(count)
    ]


def alerts_of(judging: WindowJudge, *windows: ClosedWindow) -> list[list[DriftAlert]]:
    """The alerts of windows that closed one after the other."""
    memory: dict = {}
    said = []
    for window in windows:
        words, memory = judging.judge("acme", window, memory)
        said.append(list(words.alerts))
    return said


def test_a_summary_says_the_window() -> None:
    """Times, counts, shares, sums, confidences and what was late come out as they went in; absent fields are left out."""
    images = [
        seen(1000, source="flux", probs=(0.25, 0.75), confidence=0.75, model="m2"),
        seen(1001, source="real", probs=(1, 0), confidence=1),
        seen(1002, source=None, probs=(0.5, 0.5), confidence=0.5),
    ]
    words, _ = judge(NONE, min_images=1000).judge("acme", closed(images, late=4), {})
    summary = words.summary.to_json()
    assert summary.pop("window_id") == "e3196de4edfd7c97ebc8edc8913168b993fb5312"
    assert summary.pop("correction")["status"] == "too_few"
    assert summary == {
        "schema": "deeptrace.window/1",
        "tenant": "acme",
        "window": "5m",
        "start": "1970-01-01T00:15:00.000Z",
        "end": "1970-01-01T00:20:00.000Z",
        "images": 3,
        "counts": {"flux": 1, "real": 1},
        "probability_sums": {"flux": 1.25, "real": 1.75},
        "verdicts": {"ai_generated": 1, "real": 1, "inconclusive": 1},
        "undecided": 1,
        "late": 4,
        "confidence_histogram": [0, 0, 0, 0, 0, 0, 0, 1, 0, 1],
        "mean_confidence": 0.875,
        "raw_shares": {"flux": 0.5, "real": 0.5},
        "candidates": [],
        "model_versions": ["m1", "m2"],
    }


def test_both_directions_of_the_divergence() -> None:
    """KL(current || reference) and KL(reference || current), smoothed, in nats."""
    words, _ = judge().judge("acme", closed(of(flux=90, real=10)), {})
    assert words.summary.kl_current_reference_nats == pytest.approx(0.359448, abs=1e-6)
    assert words.summary.kl_reference_current_nats == pytest.approx(0.493611, abs=1e-6)
    assert words.summary.divergences is not None
    assert words.summary.divergences.kl_current_reference_nats.value == words.summary.kl_current_reference_nats


def test_below_the_least_count_there_is_no_divergence() -> None:
    """A divergence of a few images would say nothing; at the top it is absent, not zero, and the episode says why."""
    words, _ = judge(min_images=101).judge("acme", closed(of(flux=90, real=10)), {})
    assert words.summary.kl_current_reference_nats is None
    assert words.summary.divergences is not None
    assert words.summary.divergences.state == "too_few"
    assert words.alerts == ()


def test_a_window_of_nothing_decided_says_so() -> None:
    """Only withheld verdicts: no shares, no divergence, no alert, and nothing divides by zero."""
    images = [seen(1000 + n / 10, source=None, verdict="not_assessable") for n in range(200)]
    words, _ = judge().judge("acme", closed(images), {})
    assert (words.summary.images, words.summary.undecided) == (200, 200)
    assert (words.summary.raw_shares, words.summary.mean_confidence, words.summary.divergences) == (None, None, None)
    assert words.alerts == ()


def test_an_alert_when_an_episode_begins() -> None:
    """It names the value with its interval, the threshold, what grew and what shrank, the window and the episode."""
    words, _ = judge().judge("acme", closed(of(flux=950, real=50)), {})
    [alert] = words.alerts
    assert (alert.window_id, alert.window, alert.state, alert.threshold) == (
        words.summary.window_id,
        "5m",
        "raised",
        0.25,
    )
    assert alert.low is not None
    assert alert.high is not None
    assert 0.25 < alert.low < alert.value < alert.high
    assert (alert.most_grown, alert.most_shrunk) == ("flux", "real")
    assert alert.shares == {"real": 0.05, "flux": 0.95}
    assert words.summary.divergences is not None
    assert alert.episode_id == words.summary.divergences.episode_id is not None


def test_one_alert_an_episode_and_one_when_it_is_over() -> None:
    """Windows that go on drifting raise none; after enough calm ones the same episode is resolved."""
    drifting, calm = of(flux=950, real=50), of(flux=500, real=500)
    windows = [
        closed(images, start_ms=300_000 * at)
        for at, images in enumerate([drifting, drifting, calm, drifting, calm, calm, calm])
    ]
    said = alerts_of(judge(), *windows)
    assert [[alert.state for alert in alerts] for alerts in said] == [["raised"], [], [], [], [], ["resolved"], []]
    assert said[0][0].episode_id == said[5][0].episode_id
    assert said[0][0].alert_id != said[5][0].alert_id


def test_each_kind_of_window_has_its_episode() -> None:
    """A day that drifts says so, though the minute said so before."""
    drifting = of(flux=950, real=50)
    said = alerts_of(judge(), closed(drifting), closed(drifting, spec="1h", start_ms=0))
    assert [[alert.window for alert in alerts] for alerts in said] == [["5m"], ["1h"]]


@pytest.mark.parametrize(
    "judging", [judge(threshold=1.0), judge(min_images=1001), judge(NONE, min_images=1)], ids=["under", "few", "none"]
)
def test_no_alert(judging) -> None:
    """Not under the threshold, not below the least count, not without a reference."""
    assert alerts_of(judging, closed(of(flux=950, real=50))) == [[]]


def test_a_class_the_reference_does_not_know_raises_an_alert() -> None:
    """A generator that was never there before is drift, and a finite one."""
    [[alert]] = alerts_of(judge(), closed(of(flux=400, real=400, unknown_generator=200)))
    assert alert.most_grown == "unknown_generator"


def test_a_reference_of_other_classes_is_compared_over_all_of_them() -> None:
    """A checkpoint was given other generators than the reference was built with: what is gone and what is new both count, and nothing stops."""
    other = FixedReferences(Reference({"real": 0.5, "dalle3": 0.5}, corrected={"real": 0.9, "dalle3": 0.1}))
    [[alert]] = alerts_of(judge(other), closed(of(flux=300, real=300)))
    assert (alert.most_grown, alert.most_shrunk, alert.basis) == ("flux", "dalle3", "raw")
    assert set(alert.shares) == set(alert.reference) == {"real", "dalle3", "flux"}


def test_the_odd_image_of_an_unknown_generator_raises_none() -> None:
    """Some images of known classes are called novel at any threshold: one in a hundred is no drift, and is seen in the counts."""
    words, _ = judge().judge("acme", closed(of(flux=495, real=495, unknown_generator=10)), {})
    assert words.summary.counts["unknown_generator"] == 10
    assert words.summary.kl_current_reference_nats == pytest.approx(0.015, abs=0.005)
    assert words.alerts == ()


def test_an_alert_says_where_its_report_will_lie() -> None:
    """The place follows from the window, so that the alert need not wait for the report."""
    words, _ = judge(report_bucket="deeptrace-drift").judge(OVERALL, closed(of(flux=950, real=50)), {})
    [alert] = words.alerts
    key = f"reports/_all/{words.summary.window_id}.html"
    assert alert.report == StoredObject(bucket="deeptrace-drift", key=key)


def test_the_same_window_is_said_in_the_same_words() -> None:
    """Random draws follow from the window: whoever judges it again arrives at the same bytes."""
    window = closed(of(flux=300, real=300, probs=(0.4, 0.6)))
    first, second = (judge().judge("acme", window, {})[0].closing() for _ in range(2))
    assert first == second


def test_ids_follow_from_the_window_alone() -> None:
    """The same window of the same tenant has the same id, another tenant's or kind's another."""
    judging = judge(NONE)
    one = judging.judge("acme", closed(of(flux=1)), {})[0].summary.window_id
    assert judging.judge("acme", closed(of(real=5)), {})[0].summary.window_id == one
    assert judging.judge("acme2", closed(of(flux=1)), {})[0].summary.window_id != one
    assert judging.judge("acme", closed(of(flux=1), spec="1m"), {})[0].summary.window_id != one
    assert judging.judge("acme", closed(of(flux=1), spec="5m", start_ms=1_200_000), {})[0].summary.window_id != one


def alike(count: int) -> list:
    """Novel images that all lie in one direction."""
    embedding = base64.b64encode(bytes([100] * 32)).decode()
    return [
        seen(1000 + n / 1000, outcome_id=f"novel-{n}", source="unknown_generator", embedding=embedding)
        for n in range(count)
    ]


def test_novel_images_that_lie_together_are_a_candidate() -> None:
    """It is named in the summary, told after it, and says where some of the images are; in windows of the one kind only."""
    images = [*of(real=12), *alike(SIZES.rejects)]
    judging = judge(NONE, clustered="5m", candidates=CandidateRules(min_images=5))
    words, _ = judging.judge("acme", closed(images), {})
    [candidate] = words.candidates
    assert words.summary.candidates == (candidate.candidate_id,)
    assert (candidate.window_id, candidate.window, candidate.tenant) == (words.summary.window_id, "5m", "acme")
    assert (candidate.images, candidate.rejected, candidate.cohesion) == (SIZES.rejects, SIZES.rejects, 1.0)
    assert {one.bucket for one in candidate.exemplars} == {"uploads"}
    assert [orjson.loads(text)["schema"] for text in words.closing().alerts] == ["deeptrace.generator-candidate/1"]
    assert judging.judge("acme", closed(images, spec="1h", start_ms=0), {})[0].candidates == ()


def test_a_slow_change_of_the_confidence_is_told() -> None:
    """No window drifts, but over an hour of panes the mean confidence falls: one alert, from what the memory holds of the panes before."""
    pytest.importorskip("river")
    judging = judge(slow=True)
    memory: dict = {}
    told = []
    for pane in range(90):
        confidence = 0.9 if pane < 45 else 0.8
        images = [seen(1000 + n / 1000, source=("real", "flux")[n % 2], confidence=confidence) for n in range(120)]
        words, memory = judging.judge(
            "acme", closed(images, start_ms=300_000 * pane), orjson.loads(orjson.dumps(memory))
        )
        told += [(pane, alert.statistic, alert.state) for alert in words.alerts]
    [(pane, statistic, state)] = told
    assert pane > 45
    assert (statistic, state) == ("page_hinkley_confidence", "raised")


def test_panes_of_few_images_tell_of_no_slow_change() -> None:
    """Their mean confidence is chance: the detector does not see them."""
    judging = judge(slow=True, min_images=100)
    words, memory = judging.judge("acme", closed(of(flux=99)), {})
    assert words.alerts == ()
    assert "slow" not in memory


class BrokenReferences:
    """Gives a reference that nothing can be compared with."""

    def of(self, tenant):
        return Reference({"real": None, "flux": None})


def test_a_window_comes_out_even_where_its_statistics_fail() -> None:
    """What was counted is said without them: a fault there must not hold up every window after it."""
    memory = {"episodes": {}}
    words, after = judge(BrokenReferences()).judge("acme", closed(of(flux=500, real=500)), memory)
    assert words.summary.counts == {"flux": 500, "real": 500}
    assert (words.summary.correction, words.summary.divergences, words.alerts) == (None, None, ())
    assert after == memory


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_a_summary_that_could_not_be_read_back_is_never_said() -> None:
    """A prior so small that the correction is no number: published it would be refused, and be tried again at each start for ever."""
    images = [replace(one, model=one.model._replace(prior=(1.0, 5e-324))) for one in of(real=100, probs=(0.75, 0.25))]
    words, _ = judge(min_images=50).judge("acme", closed(images), {})
    assert WindowSummary.from_bytes(words.summary.to_bytes()) == words.summary
    assert (words.summary.images, words.summary.correction) == (100, None)
