from pathlib import Path
from typing import Any

from streams.demo.gallery import Shown
from streams.demo.result import DemoResult
from streams.demo.sending import JUDGED

Topics = Any  # the fixture of this folder's conftest.py


def result(topic: Topics, *shown: Shown, faults: tuple[str, ...] = ()) -> DemoResult:
    return DemoResult(topic.tally, shown, 12.34, Path("out/report.html"), faults)


def judged(
    topic: Topics, *, label: str = "flux", real: float = 0.25, overlay: str = "written", file: str | None = "o.webp"
) -> Shown:
    sent, image = topic.publish("a.jpg", label=label, expected=JUDGED)
    topic.tally.note(image)
    topic.tally.note(topic.verdict(image, real=real, overlay=overlay))
    verdict = topic.tally.verdict_of(sent)
    assert verdict is not None
    return Shown(sent, verdict, "p.webp", file)


def test_the_figures_of_a_good_run(topic: Topics) -> None:
    """These are the fields that `demo --json` promises."""
    shown = judged(topic)
    topic.tally.note(topic.window(images=1, kl=0.5))

    assert result(topic, shown).to_json() == {
        "published": 1,
        "verdicts": 1,
        "dead_letters": 0,
        "missing": 0,
        "duplicate_outcomes": 0,
        "overlays": 1,
        "windows": 1,
        "drift_alerts": 0,
        "kl_current_reference_nats": 0.5,
        "labelled": 1,
        "agreeing": 1,
        "simulated": True,
        "seconds": 12.3,
        "report": "out/report.html",
        "problems": [],
    }


def test_a_missing_outcome_is_a_problem(topic: Topics) -> None:
    """The name of the reference is said."""
    topic.publish("a.jpg")

    assert result(topic).problems == ["a.jpg: no outcome"]


def test_a_repeated_outcome_is_a_problem(topic: Topics) -> None:
    """At least once is what is promised, exactly once is what a quiet demo shows."""
    _, image = topic.publish("a.jpg")
    letter = topic.dead_letter(image)
    for record in (image, letter, letter):
        topic.tally.note(record)

    assert result(topic).problems == ["1 outcomes were published more than once"]


def test_another_outcome_than_the_one_it_must_have_is_a_problem(topic: Topics) -> None:
    """Both are said."""
    _, image = topic.publish("a.svg", expected="image_is_svg")
    topic.tally.note(image)
    topic.tally.note(topic.dead_letter(image))

    assert result(topic).problems == ["a.svg: came to image_truncated, must come to image_is_svg"]


def test_an_overlay_that_cannot_be_opened_is_a_problem(topic: Topics) -> None:
    """The verdict promised one."""
    shown = judged(topic, file=None)
    topic.tally.note(topic.window(images=1))

    assert result(topic, shown).problems == ["a.jpg: its overlay, written, cannot be opened"]


def test_an_overlay_that_was_not_to_be_is_none(topic: Topics) -> None:
    """An image that is not assessable has no overlay."""
    shown = judged(topic, overlay="skipped", file=None)
    topic.tally.note(topic.window(images=1))

    assert result(topic, shown).problems == []


def test_verdicts_without_a_window_are_a_problem(topic: Topics) -> None:
    """The drift worker has not done its work."""
    assert result(topic, judged(topic)).problems == ["no window was published"]


def test_a_worker_that_stopped_badly_is_a_problem(topic: Topics) -> None:
    """Even when everything was published."""
    assert result(topic, faults=("the drift worker ended with exit code 70",)).problems == [
        "the drift worker ended with exit code 70"
    ]


def test_a_label_that_the_model_does_not_know_is_no_label(topic: Topics) -> None:
    """A folder may be called anything."""
    assert result(topic, judged(topic, label="holidays")).agreement == (0, 0)


def test_a_verdict_that_differs_from_the_label_is_counted(topic: Topics) -> None:
    """One labelled image, none agreeing."""
    assert result(topic, judged(topic, label="flux", real=0.9)).agreement == (0, 1)
