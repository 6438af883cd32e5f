"""Which references were in flight when this worker slot died, and how often: a small file that survives the process.

Lines: `+ID` it is in flight, `-ID` it is not any more, `=N ID` it was in flight at N crashes, `!N` so many suspects in a row. A line is handed to the system before the
reference goes on, so a killed process leaves what it was at; a thread calls fsync soon after, so a machine that loses power leaves nearly all.
"""

import contextlib
import errno
import fcntl
import os
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from schemas.errors import ConfigError

log = structlog.get_logger(__name__)

SYNC_S: Final = 0.1
FULL_DISK_S: Final = 1.0
REWRITE_BYTES: Final = 4 * 1024 * 1024
MOST_COUNTED: Final = 10_000
MAX_SLOTS: Final = 256
_LINE = re.compile(rb"([+-])([0-9a-f]{40})|=(\d{1,4}) ([0-9a-f]{40})|!(\d{1,6})")


class CrashJournal:
    """The journal of one worker slot; a second worker with the same name gets a file of its own. Thread-safe.

    Outcomes do not rest on it: while its disk is full it remembers nothing new, says so, and the work goes on.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Open it, and count what the last life of this slot left in flight.

        Raises:
            ConfigError: the folder cannot be written.
        """
        self._in_flight: set[str] = set()
        self._mutex = threading.Lock()
        self._dirty = threading.Event()
        self._closed = False
        self._behind = False  # the file lacks what the disk did not take
        self._refused_at = 0.0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock, self._path = _first_free(folder, re.sub(r"[^A-Za-z0-9._-]", "_", name))
            self._counts, self._suspects = _read(self._path)
            self._file = self._rewritten()
        except OSError as error:
            raise ConfigError(
                f"the crash journal cannot be written in {folder}",
                why=error.strerror or type(error).__name__,
                remedy="Set DEEPTRACE_PIPELINE__JOURNAL_DIR to a folder that outlives the worker, or to nothing to go without.",
            ) from error
        self._syncing = threading.Thread(target=self._sync, name="crash-journal", daemon=True)
        self._syncing.start()

    def crashes(self, outcome_id: str) -> int:
        """Return at how many deaths of this slot the reference was in flight."""
        return self._counts.get(outcome_id, 0)

    def begin(self, outcome_id: str) -> None:
        """Note that the reference is in flight, before anything is done with it."""
        with self._mutex:
            self._in_flight.add(outcome_id)
            self._write(b"+%s\n" % outcome_id.encode())

    def end(self, outcome_id: str, *, cleared: bool = True) -> None:
        """Note that it is not any more. Its crashes are forgotten, unless it is not `cleared`: it was let go before anything came of it."""
        with self._mutex:
            self._in_flight.discard(outcome_id)
            count = self._counts.get(outcome_id)
            if count is None or cleared:
                self._counts.pop(outcome_id, None)
                self._write(b"-%s\n" % outcome_id.encode())
            else:
                self._write(b"-%s\n=%d %s\n" % (outcome_id.encode(), count, outcome_id.encode()))

    @property
    def suspects_in_a_row(self) -> int:
        """How many suspects there were since a reference was last judged, over all lives of this slot."""
        return self._suspects

    def suspect(self) -> None:
        """Note one more suspect."""
        with self._mutex:
            self._suspects += 1
            self._write(b"!%d\n" % self._suspects)

    def clear_suspicion(self) -> None:
        """Note that a reference was judged."""
        if self._suspects:
            with self._mutex:
                self._suspects = 0
                self._write(b"!0\n")

    def close(self, *, orderly: bool) -> None:
        """Close it. After an orderly stop nothing counts as in flight; otherwise what is there stays for the next life to count."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            if orderly:
                self._in_flight.clear()
            with contextlib.suppress(OSError):  # a full disk; what the file says then is what there is
                if orderly:
                    self._replace()
                os.fsync(self._file)
            os.close(self._file)
        self._dirty.set()
        self._syncing.join()
        os.close(self._lock)

    def _write(self, lines: bytes) -> None:
        """Append `lines`, which say what memory says already."""
        if self._closed or (self._behind and time.monotonic() - self._refused_at < FULL_DISK_S):
            return
        try:
            if self._behind or self._written > REWRITE_BYTES:
                self._replace()
            else:
                _write_whole(self._file, lines)
        except OSError as error:
            if not self._behind:
                log.warning("crash journal not written", why=error.strerror)
            self._behind, self._refused_at = True, time.monotonic()
        else:
            self._behind = False
            self._written += len(lines)
            self._dirty.set()

    def _replace(self) -> None:
        fresh = self._rewritten()  # first: a descriptor that is closed may be somebody else's by the next line
        os.close(self._file)
        self._file = fresh

    def _rewritten(self) -> int:
        """Replace the file by the shortest that says the same; return it open for appending."""
        counts = list(self._counts.items())[-MOST_COUNTED:]
        lines = [b"!%d\n" % self._suspects] if self._suspects else []
        lines += [b"=%d %s\n" % (count, outcome_id.encode()) for outcome_id, count in counts]
        lines += [b"+%s\n" % outcome_id.encode() for outcome_id in self._in_flight]
        fresh = self._path.with_suffix(".new")
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            _write_whole(file, b"".join(lines))  # synced by the thread: nothing blocks the event loop for a disk
            fresh.replace(self._path)
        except BaseException:
            os.close(file)
            raise
        self._written = sum(map(len, lines))
        return file

    def _sync(self) -> None:
        while self._dirty.wait():
            self._dirty.clear()
            with self._mutex:
                if self._closed:
                    return
                file = os.dup(self._file)
            try:
                with contextlib.suppress(OSError):
                    os.fdatasync(file)
            finally:
                os.close(file)
            time.sleep(SYNC_S)


def _write_whole(file: int, data: bytes) -> None:
    if os.write(file, data) < len(data):  # what a disk that becomes full takes
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _first_free(folder: Path, name: str) -> tuple[int, Path]:
    for number in range(MAX_SLOTS):
        stem = name if number == 0 else f"{name}-{number + 1}"
        lock = os.open(folder / f"{stem}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
        else:
            return lock, folder / f"{stem}.journal"
    raise OSError(0, f"{MAX_SLOTS} workers share the name {name}")


def _read(path: Path) -> tuple[dict[str, int], int]:
    """Return the crashes of each reference, those in flight at the end of the file counted once more, and the suspects in a row.

    A torn last line says nothing.
    """
    try:
        lines: Iterable[bytes] = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}, 0
    counts: dict[str, int] = {}
    suspects = 0
    in_flight: set[str] = set()
    for line in lines:
        if (found := _LINE.fullmatch(line)) is None:
            continue
        if found[5]:
            suspects = int(found[5])
        elif found[4]:
            counts[found[4].decode()] = int(found[3])
        elif found[1] == b"+":
            in_flight.add(found[2].decode())
        else:
            in_flight.discard(found[2].decode())
            counts.pop(found[2].decode(), None)
    for outcome_id in in_flight:
        counts[outcome_id] = counts.get(outcome_id, 0) + 1
    return counts, suspects
