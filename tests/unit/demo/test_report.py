import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from streams.demo.figures import percent
from streams.demo.gallery import Shown
from streams.demo.report import render_report
from streams.demo.result import DemoResult

Topics = Any  # the fixture of this folder's conftest.py
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Elements, their attributes and text, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def attributes(self, name: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(name)) is not None]


def render(topic: Topics, *shown: Shown, faults: tuple[str, ...] = ()) -> str:
    return render_report(DemoResult(topic.tally, shown, 40.0, Path("report.html"), faults), made_at=NOON)


def judged(topic: Topics, name: str = "a.jpg", **changes: object) -> Shown:
    sent, image = topic.publish(name, label="flux")
    topic.tally.note(image)
    topic.tally.note(topic.verdict(image, **changes))
    verdict = topic.tally.verdict_of(sent)
    assert verdict is not None
    return Shown(sent, verdict, "pictures/0001-a.webp", "overlays/0001-a.webp")


def test_an_image_stands_beside_its_overlay(topic: Topics) -> None:
    """With its name, source, confidence, probabilities and flags."""
    html = render(topic, judged(topic))

    assert Page(html).attributes("src") == ["pictures/0001-a.webp", "overlays/0001-a.webp"]
    for said in ("a.jpg", "flux", "confidence 75%", "25%", "low_res", "14 ms", "CNN"):
        assert said in html


def test_an_unknown_generator_has_a_column_of_its_own_and_a_withheld_verdict_its_reasons(topic: Topics) -> None:
    """What names no class of the model must not fall out of the table of labels and sources."""
    unknown = judged(topic, "a.jpg", predicted_source="unknown_generator")
    withheld = judged(topic, "b.jpg", verdict="inconclusive", predicted_source=None, reasons=("weak_evidence", "novel"))
    html = render(topic, unknown, withheld)

    assert re.findall(r">named (\w+)</th>", html) == ["real", "flux", "unknown_generator", "none"]
    assert "inconclusive (weak evidence, novel)" in html


def test_nothing_is_loaded_from_elsewhere(topic: Topics) -> None:
    """No script, no style sheet, no font, no picture from another place: it must work without network, and tell nobody."""
    topic.tally.note(topic.window(images=30, kl=0.9))
    page = Page(html := render(topic, judged(topic)))

    assert "//" not in "".join(page.attributes("src") + page.attributes("href"))
    assert "url(" not in html
    assert "@import" not in html
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.elements}


def test_what_an_uploader_wrote_is_escaped(topic: Topics) -> None:
    """A file name is text, whatever it looks like."""
    html = render(topic, judged(topic, '"><script>alert(1)</script>.jpg'))

    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_every_element_is_closed(topic: Topics) -> None:
    """Cards, windows, dead letters and notices included."""
    window = topic.window(images=30, kl=0.9)
    _, image = topic.publish("b.jpg", expected="image_is_svg")
    for record in (window, topic.alert(window), image, topic.dead_letter(image)):
        topic.tally.note(record)

    assert Page(render(topic, judged(topic), faults=("a fault",))).open == []


def test_a_simulated_checkpoint_is_named_as_such(topic: Topics) -> None:
    """Nobody may take its verdicts for more than they are."""
    assert "say nothing about true generators" in render(topic, judged(topic))


def test_a_dead_letter_is_listed_with_code_stage_and_message(topic: Topics) -> None:
    """And with a mark where it is the one that was to come."""
    _, image = topic.publish("b.jpg", expected="image_truncated")
    topic.tally.note(image)
    topic.tally.note(topic.dead_letter(image))
    html = render(topic)

    row = next(row for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL) if "b.jpg" in row)

    for said in ("image_truncated", "decode", "the JPEG ends before its pixels do", "✓"):
        assert said in row


def test_a_window_shows_shares_reference_and_alert(topic: Topics) -> None:
    """The bar is the share, the mark is the reference."""
    window = topic.window(images=30, kl=0.9)
    topic.tally.note(window)
    topic.tally.note(topic.alert(window))
    html = render(topic)

    assert "width:100.0%" in html
    assert "left:25.0%" in html
    assert "0.900 is over 0.25. More flux, less real." in html


def test_problems_are_said_first(topic: Topics) -> None:
    """A run that failed does not look like one that did not."""
    assert "the worker ended" in render(topic, faults=("the worker ended with exit code 70",))


def test_a_run_without_any_verdict_has_a_page(topic: Topics) -> None:
    """It is when things went wrong that one looks."""
    assert "No image was judged." in render(topic)


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0%"), (0.0001, "<0.1%"), (0.034, "3.4%"), (0.5, "50%"), (0.982, "98.2%"), (0.99999, ">99.9%"), (1, "100%")],
)
def test_percentages_claim_no_certainty(share: float, said: str) -> None:
    """Neither 0 nor 1 is said of what only comes near."""
    assert percent(share) == said
