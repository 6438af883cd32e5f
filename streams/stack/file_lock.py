import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import StackUnavailable

_RETRY_S = 0.05


@contextmanager
def exclusive(path: Path, *, timeout_s: float, purpose: str) -> Iterator[None]:
    """Hold the file `path` for this process; the kernel lets go of it when the process dies, however it dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StackUnavailable(
                        f"Could not {purpose}",
                        why=f"another process has held {path} for {timeout_s:.0f} s",
                        remedy="Wait for it to finish, or end it, and try again.",
                    ) from None
                time.sleep(_RETRY_S)
        yield
