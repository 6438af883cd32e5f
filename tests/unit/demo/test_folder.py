from pathlib import Path

import pytest

from schemas.errors import UsageError
from streams.demo.folder import DemoFolder


def test_a_folder_is_made(tmp_path: Path) -> None:
    """Parents included."""
    folder = DemoFolder(tmp_path / "new" / "report")

    folder.prepare()

    assert folder.logs.is_dir()


def test_a_folder_that_no_demo_made_is_refused_and_left_alone(tmp_path: Path) -> None:
    """`--out ~` must not cost anybody their pictures."""
    precious = tmp_path / "pictures" / "holiday.jpg"
    precious.parent.mkdir()
    precious.write_bytes(b"jpeg")

    with pytest.raises(UsageError, match="in use"):
        DemoFolder(tmp_path).prepare()

    assert precious.read_bytes() == b"jpeg"


def test_the_folder_of_an_earlier_demo_is_emptied(tmp_path: Path) -> None:
    """Nothing of the run before can be mistaken for this one's."""
    folder = DemoFolder(tmp_path / "report")
    folder.prepare()
    (folder.overlays / "old.webp").write_bytes(b"webp")
    folder.report.write_text("old")

    folder.prepare()

    assert not any(folder.overlays.iterdir())
    assert not folder.report.exists()


def test_a_file_is_refused(tmp_path: Path) -> None:
    """`--out report.html` is a misunderstanding."""
    file = tmp_path / "report.html"
    file.write_text("mine")

    with pytest.raises(UsageError):
        DemoFolder(file).prepare()


def test_the_logs_of_the_stack_outlive_its_data(tmp_path: Path) -> None:
    """They are what one looks for after a failure."""
    folder = DemoFolder(tmp_path / "report")
    folder.prepare()
    (folder.state / "logs").mkdir()
    (folder.state / "logs" / "broker.log").write_text("said")

    folder.keep_stack_logs()
    folder.drop_state()

    assert (folder.logs / "broker.log").read_text() == "said"
    assert not folder.state.exists()
