import stat
from pathlib import Path

import pytest

from streams.stack.object_store import Credentials
from streams.stack.process import ProcessRef
from streams.stack.state_file import ServerRecord, StackRecord, read_record, write_record

RECORD = StackRecord(
    Credentials("deeptrace", "secret"), "s3proxy", ServerRecord(20_001, ProcessRef(7, "123")), ServerRecord(20_002)
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Pids, start times, ports and keys survive."""
    write_record(tmp_path / "stack.json", RECORD)
    assert read_record(tmp_path / "stack.json") == RECORD


def test_a_record_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    """It holds the store's secret."""
    write_record(tmp_path / "stack.json", RECORD)
    assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"credentials": {}}'])
def test_a_file_that_is_no_record_counts_as_none(tmp_path: Path, content: str) -> None:
    """A damaged file leads to a fresh start, not to a traceback."""
    (tmp_path / "stack.json").write_text(content)
    assert read_record(tmp_path / "stack.json") is None


def test_a_missing_file_is_no_record(tmp_path: Path) -> None:
    """A new state folder has no stack."""
    assert read_record(tmp_path / "stack.json") is None
