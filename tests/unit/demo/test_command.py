from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli.main import app


def test_help_names_every_option() -> None:
    """In a window wide enough."""
    answer = CliRunner().invoke(app, ["demo", "--help"], env={"COLUMNS": "140"})

    assert answer.exit_code == 0
    for option in ("--images", "--count", "--out", "--keep", "--json"):
        assert option in answer.output


@pytest.mark.parametrize("arguments", [["--count", "0"], ["--images", "no-such-folder"], ["--out", "pyproject.toml"]])
def test_a_wrong_call_exits_with_2_and_starts_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said at once."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("")

    answer = CliRunner().invoke(app, ["demo", *arguments])

    assert answer.exit_code == 2
    assert not (tmp_path / "demo-report").exists()


def test_a_misspelt_setting_exits_with_78(tmp_path: Path) -> None:
    """The demo sets most settings itself, and still does not hide a mistake."""
    answer = CliRunner().invoke(
        app, ["demo", "--out", str(tmp_path / "out")], env={"DEEPTRACE_MODEL__CLASIFIER": "fake"}
    )

    assert answer.exit_code == 78
    assert "DEEPTRACE_MODEL__CLASSIFIER" in answer.output
