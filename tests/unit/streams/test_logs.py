"""The log says where something failed, and never what was being worked on."""

import json
import logging

import pytest
import structlog

from streams.logs import configure_logs
from streams.settings import LogSettings


@pytest.fixture(autouse=True)
def logging_as_before():
    """Logging is global: put back what a test changes."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def fail(body):
    """Raise with a record's body in the text, a note, a local variable, and one error as the cause of the next."""
    key = f"key of {body}"
    try:
        {}[key]
    except KeyError as cause:
        error = ExceptionGroup(f"group of {body}", [ValueError(body)])
        error.add_note(f"note of {body}")
        raise error from cause


def caught():
    """Return an unexpected error as a worker would see it."""
    try:
        fail("canary")
    except ExceptionGroup as error:
        return error


@pytest.mark.parametrize("chosen", ["json", "console"])
@pytest.mark.parametrize("make_logger", [structlog.get_logger, logging.getLogger])
def test_a_failure_is_logged_with_its_place_and_without_data(capsys, chosen, make_logger):
    """Neither locals nor texts of the error, of its cause or of its group; of our loggers and of the libraries'."""
    configure_logs(LogSettings(format=chosen))
    make_logger("test").error("failed unexpectedly", exc_info=caught())
    written = capsys.readouterr().err
    assert "canary" not in written
    assert all(said in written for said in ("failed unexpectedly", "ExceptionGroup", "ValueError", "KeyError"))
    assert "test_logs.py" in written
    assert "fail" in written


def test_a_json_line_holds_the_frames(capsys):
    """One object a line; the innermost frame is the last."""
    configure_logs(LogSettings(format="json"))
    structlog.get_logger("test").error("failed", exc_info=caught())
    [line] = capsys.readouterr().err.splitlines()
    [failure, cause] = json.loads(line)["exception"]
    assert (failure["exc_type"], failure["frames"][-1]["name"]) == ("ExceptionGroup", "fail")
    assert cause["exc_type"] == "KeyError"
