"""The process that renders reports, and what becomes of a report when it dies."""

import os
import signal

import pytest
from support import report_children

from schemas.errors import ConfigError, ReportFailed
from streams.drift.reports import renderer as rendering
from streams.drift.reports.content import Content
from streams.drift.reports.renderer import Renderer

CONTENT = Content(title="one", reference={"real": 1}, current={"real": 1}, threshold=0.25)


@pytest.fixture
def renderer(request):
    """A renderer with a child of the test's choice and a clock of its own; nothing of it is left."""
    now = [0.0]
    made = Renderer(serve=request.param, timeout_s=20, first_pause_s=5, clock=lambda: now[0])
    made.now = now
    yield made
    made.close()


@pytest.mark.parametrize("renderer", [report_children.echo], indirect=True)
def test_one_child_renders_all(renderer):
    """It is kept from report to report, and it is not this process."""
    assert renderer.pid is None
    assert renderer.render(CONTENT).html == b"<h1>one</h1>"
    first = renderer.pid
    renderer.render(CONTENT)
    assert renderer.pid == first != os.getpid()


@pytest.mark.parametrize("renderer", [report_children.echo], indirect=True)
def test_after_a_killed_child_the_next_one_works(renderer):
    """The report that was asked for fails, and is not tried before the pause is over."""
    renderer.render(CONTENT)
    os.kill(renderer.pid, signal.SIGKILL)
    with pytest.raises(ReportFailed, match="died"):
        renderer.render(CONTENT)
    assert (renderer.pid, renderer.wait_s) == (None, 5)
    with pytest.raises(ReportFailed, match="in 5 s"):
        renderer.render(CONTENT)
    renderer.now[0] += 5
    assert renderer.render(CONTENT).html == b"<h1>one</h1>"


@pytest.mark.parametrize("renderer", [report_children.dies], indirect=True)
def test_a_child_that_dies_again_and_again_is_started_more_and_more_rarely(renderer):
    """Each death doubles the pause: 280 MB are not read in a loop."""
    pauses = []
    for _ in range(3):
        with pytest.raises(ReportFailed, match="died"):
            renderer.render(CONTENT)
        pauses.append(renderer.wait_s)
        renderer.now[0] += renderer.wait_s
    assert pauses == [5, 10, 20]


@pytest.mark.parametrize("renderer", [report_children.refuses], indirect=True)
def test_a_report_that_cannot_be_made_costs_no_child(renderer):
    """It says why, and the child lives."""
    for _ in range(2):
        with pytest.raises(ReportFailed, match="ValueError: no"):
            renderer.render(CONTENT)
    assert renderer.wait_s == 0


def test_a_child_that_does_not_answer_is_ended():
    """After the time that was given to it."""
    renderer = Renderer(serve=report_children.hangs, timeout_s=0.5)
    with pytest.raises(ReportFailed, match=r"no answer within 0\.5 s"):
        renderer.render(CONTENT)
    assert renderer.pid is None
    renderer.close()


def test_a_closed_renderer_renders_nothing():
    """Closing it twice is allowed."""
    renderer = Renderer(serve=report_children.echo)
    renderer.close()
    renderer.close()
    with pytest.raises(ReportFailed):
        renderer.render(CONTENT)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    """Before anything is imported."""
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setattr("sys.path_importer_cache", {})
    with pytest.raises(ConfigError, match="Evidently") as caught:
        rendering.require_evidently()
    assert "extra `drift`" in caught.value.remedy
