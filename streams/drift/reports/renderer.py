"""Has reports rendered in one child process, and lives on when that dies."""

import importlib.util
import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

from schemas.errors import ConfigError, ReportFailed
from streams.drift.reports import child
from streams.drift.reports.content import Content, Rendered

TIMEOUT_S: Final = 300.0
"""The first report waits for Evidently's import, which takes 6 to 9 s on an idle machine, and the child steps back for all others on a busy one."""
FIRST_PAUSE_S: Final = 5.0
LAST_PAUSE_S: Final = 300.0
END_S: Final = 5.0

Serve = Callable[[Connection], None]


def require_evidently() -> None:
    """Refuse to go on without Evidently; does not import it.

    Raises:
        ConfigError: the extra is not installed.
    """
    if importlib.util.find_spec("evidently") is None:
        raise ConfigError(
            "drift reports need Evidently",
            why="it is not installed",
            remedy="Install DeepTrace with the extra `drift`, or set DEEPTRACE_DRIFT__REPORTS=false.",
        )


class Renderer:
    """One report at a time, blocking; the child starts with the first and is kept. After the death of a child the next one waits, longer each time."""

    def __init__(
        self,
        *,
        timeout_s: float = TIMEOUT_S,
        first_pause_s: float = FIRST_PAUSE_S,
        serve: Serve = child.serve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_s = timeout_s
        self._first_pause_s = first_pause_s
        self._serve = serve
        self._clock = clock
        self._context = multiprocessing.get_context("spawn")
        self._lock = threading.Lock()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._deaths = 0
        self._not_before = 0.0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return None if self._process is None else self._process.pid

    @property
    def wait_s(self) -> float:
        """How long until a child may be started again."""
        return 0.0 if self._process is not None else max(0.0, self._not_before - self._clock())

    def render(self, content: Content) -> Rendered:
        """Return the report.

        Raises:
            ReportFailed: the child died or took too long, Evidently refused, or no child may be started yet (`wait_s`).
        """
        with self._lock:
            if self._closed or self.wait_s > 0:
                raise ReportFailed(
                    "the report was not rendered", why=f"its process is started again in {self.wait_s:.0f} s"
                )
            pipe = self._started()
            try:
                pipe.send(content)
                answer = pipe.recv() if pipe.poll(self._timeout_s) else None
            except (EOFError, OSError) as error:
                raise self._lost("its process died") from error
            if answer is None:
                raise self._lost(f"no answer within {self._timeout_s:g} s")
            self._deaths = 0
            if isinstance(answer, str):
                raise ReportFailed("the report was not rendered", why=answer)
            assert isinstance(answer, Rendered)
            return answer

    def close(self) -> None:
        """End the child; a report that is being rendered fails."""
        self._closed = True
        process = self._process
        if process is not None:
            with suppress(ValueError):  # it has just died by itself
                process.kill()
        with self._lock:
            self._end()

    def _started(self) -> Connection:
        if self._process is None or self._pipe is None:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=self._serve, args=(theirs,), name="deeptrace-report", daemon=True)
            process.start()
            theirs.close()  # so that the pipe ends with the child
            self._process, self._pipe = process, ours
        return self._pipe

    def _lost(self, why: str) -> ReportFailed:
        pause_s = min(self._first_pause_s * 2.0 ** min(self._deaths, 30), LAST_PAUSE_S)
        self._deaths += 1
        self._not_before = self._clock() + pause_s
        self._end()
        return ReportFailed("the report was not rendered", why=why, remedy="It is tried again with another process.")

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join(END_S)
            self._process.close()
        self._process = self._pipe = None
