"""One worker slot: a process that is started again with a growing pause whenever it ends, and what became of each of its lives."""

import contextlib
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults.harness.process_table import rss_mib

from streams.stack.process import ProcessRef, Spawned, spawn

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 5.0
LIVED_S = 10.0  # a life that lasted this long makes the next pause the first again
LOOK_AGAIN_S = 0.02
SAMPLE_S = 0.5
STOP_S = 60.0


@dataclass(slots=True)
class Life:
    """One run of the process. `exit_code` is the number of the signal where one ended it; None while it lives."""

    pid: int
    began: float
    ended: float | None = None
    exit_code: int | None = None
    told: bool = False
    """We ended it on purpose, be it by a signal or a failpoint that was to fire; else it ended by itself."""
    rss_max_mib: float = 0.0
    counters: dict[str, float] = field(default_factory=dict)


class Slot:
    """Keeps one worker alive until `retire`. The environment may differ from life to life; a thread of its own does the waiting."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Callable[[int], Mapping[str, str]],
        *,
        folder: Path,
        log: Path,
        http_port: int | None = None,
        on_end: Callable[["Slot", Life], None] = lambda _slot, _life: None,
    ) -> None:
        self.name = name
        self.lives: list[Life] = []
        self.rss_samples: list[tuple[float, float]] = []
        self.http_port = http_port
        self._command = list(command)
        self._environment = environment
        self._folder = folder
        self._log = log
        self._on_end = on_end
        self._process: ProcessRef | None = None
        self._ended_by = signal.SIGTERM
        self._wanted = threading.Event()
        self._wanted.set()
        self._thread = threading.Thread(target=self._keep_alive, name=name, daemon=True)

    def start(self) -> None:
        """Start the first life."""
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Tell whether the process is there, paused or not."""
        process = self._process
        return process is not None and process.is_alive()

    @property
    def is_ready(self) -> bool:
        """Tell whether /readyz of the process says so."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/readyz", timeout=3) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def send(self, signum: signal.Signals) -> None:
        """Signal the process, if there is one; what ends it by this is on record as told."""
        process = self._process
        if process is None:
            return
        if signum in {signal.SIGKILL, signal.SIGTERM} and self.lives:
            self.lives[-1].told = True
        process.send(signum)

    def retire(self, *, by: signal.Signals = signal.SIGTERM, timeout_s: float = STOP_S) -> None:
        """End the last life and start no other; by force after `timeout_s`, which the exit code shows."""
        self._ended_by = by
        self._wanted.clear()  # the thread sends the signal: it knows of a process that is starting just now
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.send(signal.SIGKILL)
            self._thread.join(STOP_S)

    def counted(self, name: str) -> float:
        """Return a counter of /metrics summed over the lives; what was counted in a life's last two seconds may be missing."""
        return sum(life.counters.get(name, 0.0) for life in list(self.lives))

    def metrics(self) -> str:
        """Return the text of /metrics, empty when it does not answer."""
        if self.http_port is None:
            return ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/metrics", timeout=1) as answer:
                return str(answer.read().decode())
        except OSError:  # URLError is one
            return ""

    def _keep_alive(self) -> None:
        pause_s = FIRST_PAUSE_S
        while self._wanted.is_set():
            spawned = spawn(
                self._command,
                work_dir=self._folder,
                log=self._log,
                env=dict(self._environment(len(self.lives))),
                bound=True,
            )
            life = Life(spawned.process.pid, time.monotonic())
            self.lives.append(life)
            self._process = spawned.process
            self._live(spawned, life)
            lived_s = (life.ended or 0.0) - life.began
            pause_s = FIRST_PAUSE_S if life.told or lived_s >= LIVED_S else min(LAST_PAUSE_S, pause_s * 2)
            ends_at = time.monotonic() + pause_s
            while self._wanted.is_set() and time.monotonic() < ends_at:
                time.sleep(LOOK_AGAIN_S)

    def _live(self, spawned: Spawned, life: Life) -> None:
        assert spawned.guardian is not None
        sampled = scraped = 0.0
        asked = False
        while spawned.guardian.poll() is None:
            now = time.monotonic()
            if not self._wanted.is_set() and not asked:
                asked = True
                self.send(self._ended_by)
                spawned.process.send(signal.SIGCONT)
            if now - sampled >= SAMPLE_S:
                sampled = now
                if mib := rss_mib(life.pid):
                    life.rss_max_mib = max(life.rss_max_mib, mib)
                    self.rss_samples.append((now, mib))
            if now - scraped >= 4 * SAMPLE_S and self.http_port is not None:
                scraped = now
                life.counters.update(parse_counters(self.metrics()))
            time.sleep(LOOK_AGAIN_S)
        life.ended = time.monotonic()
        life.exit_code = spawned.guardian.returncode
        spawned.release()
        self._on_end(self, life)


def parse_counters(text: str) -> dict[str, float]:
    """Return the samples of a Prometheus text by their full name, labels included."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            with contextlib.suppress(ValueError):
                found[name] = float(value)
    return found
