"""What reaches the terminal: errors as they are, hostile text escaped."""

import pytest
import typer

from schemas.errors import UsageError
from streams.cli.console import print_error, print_unexpected, printable
from streams.cli.main import app


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ümläut 画像", "plain ümläut 画像"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("one\ntwo\r", r"one\ntwo\r"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("gpj\u202e.exe", r"gpj\u202e.exe"),
        ("not utf-8 \udcff", r"not utf-8 \udcff"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text, shown):
    """Escape sequences, line breaks, C1 controls, reversed text, undecodable bytes."""
    assert printable(text) == shown


def test_what_is_to_be_kept_is_kept():
    """A body may have lines."""
    assert printable("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


def test_brackets_of_an_error_are_no_markup(capsys):
    """A file's name may look like it."""
    print_error(UsageError("x[/a].jpg: no such file or folder", remedy="[b]\x1b"))
    assert capsys.readouterr().err.splitlines() == [
        "error x[/a].jpg: no such file or folder",
        r"  do:  [b]\x1b",
        "  code usage",
    ]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "a[/b]"), "error PermissionError: a[/b]: Permission denied"),
        (ValueError("canary"), "error ValueError, which is unexpected; `deeptrace --debug ...` shows where"),
        (OSError("canary"), "error OSError, which is unexpected; `deeptrace --debug ...` shows where"),
    ],
)
def test_an_unexpected_error_is_one_line_without_its_text(capsys, error, line):
    """The kind, and the file where there is one."""
    print_unexpected(error)
    assert capsys.readouterr().err.splitlines() == [line]


def test_an_unexpected_error_ends_with_70_and_typers_own_are_left_to_typer(tmp_path, monkeypatch, capsys):
    """PermissionError and its kin are ours to say; a wrong option and `--help` are not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    ends = {}
    for arguments in ("classify taken --overlay taken/out", "classify --nonsense", "classify --help", "dev status"):
        with pytest.raises(SystemExit) as ended:
            typer.main.get_command(app)(arguments.split())
        ends[arguments] = ended.value.code
    assert list(ends.values()) == [70, 2, 0, 3]
    assert "error NotADirectoryError: taken/out" in capsys.readouterr().err
