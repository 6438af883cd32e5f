from pathlib import Path

import pytest

from schemas.errors import StackUnavailable
from streams.stack.file_lock import exclusive


def test_a_held_lock_is_refused_with_its_path(tmp_path: Path) -> None:
    """The second one learns what it waited for."""
    lock = tmp_path / "stack.lock"
    with (
        exclusive(lock, timeout_s=1, purpose="hold it"),
        pytest.raises(StackUnavailable) as refusal,
        exclusive(lock, timeout_s=0, purpose="start the local stack"),
    ):
        raise AssertionError("two hold one lock")
    assert str(lock) in refusal.value.why


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    """A failed start does not block the next one."""
    lock = tmp_path / "stack.lock"
    with pytest.raises(ZeroDivisionError), exclusive(lock, timeout_s=0, purpose="fail"):
        _ = 1 / 0
    with exclusive(lock, timeout_s=0, purpose="go on"):
        assert lock.exists()
