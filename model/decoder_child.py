"""The parent's end of one decoder process: ask with a deadline, and know how it ended if it did."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal

import numpy as np

from model import decoder_reply as reply
from model import decoder_wire as wire
from model.limits import DecodeLimits
from model.pixels import Pixels
from model.policy import PixelPolicy
from schemas.errors import DecoderUnavailable, DeepTraceError

_ROOT: Final = Path(__file__).parent.parent
_PIPE_BYTES: Final = 1 << 20  # the largest an unprivileged process may ask for; 64 KiB would mean 26 switches an image
_START_S: Final = 60.0
_STOP_S: Final = 2.0

Sandbox = Literal["auto", "required", "off"]
"""Whether decoders go into the sandbox: where the platform has one; or else do not start; or never."""


class ChildDied(Exception):
    """The process ended before it answered, or answered nonsense and was killed; an event for the pool, not an error of the tree."""

    def __init__(self, returncode: int, cause: str = "") -> None:
        super().__init__(returncode)
        self.cpu_exceeded = returncode == -signal.SIGXCPU
        self.cause = cause or (signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}")

    def __str__(self) -> str:
        return self.cause


class ChildLate(Exception):
    """The process did not answer within the wall-clock limit, and was killed."""


class DecoderChild:
    """One decoder process; used by one thread, which must outlive it (Linux counts that thread as its parent)."""

    def __init__(self, limits: DecodeLimits, policy: PixelPolicy, sandbox: Sandbox = "auto") -> None:
        """Start the process and wait until it is ready; raises `DecoderUnavailable`, or the `ConfigError` it found."""
        self.served = 0
        self.cpu_s = 0.0
        self._limits = limits
        self._policy = policy
        settings = json.dumps({"limits": asdict(limits), "preprocess_id": policy.preprocess_id, "sandbox": sandbox})
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "model.decoder", settings],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a library's complaint may quote the picture's metadata
                bufsize=0,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise _unavailable(error.strerror or type(error).__name__) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        for descriptor in (self._to, self._from):
            os.set_blocking(descriptor, False)
            _widen(descriptor)
        try:
            self.sandboxed = self._ready(time.monotonic() + _START_S)
        except (ChildDied, ChildLate) as error:
            raise _unavailable(str(error) or "it was not ready in time") from error

    @property
    def pid(self) -> int:
        """Process id, for logs and tests."""
        return self._process.pid

    def ask(self, data: bytes, seed: bytes) -> Pixels:
        """Decode one image. Raises its rejection, or `ChildDied` or `ChildLate`, after which this child is of no more use."""
        deadline = time.monotonic() + self._limits.wall_s
        self.served += 1
        for part in (wire.REQUEST.pack(len(seed), len(data)) + seed, data):
            self._write(part, deadline)
        with self._disbelief():
            kind, text, arrays = self._answer(deadline)
            if kind is wire.Kind.PIXELS:
                return reply.read_pixels(self._heard(reply.PixelFacts.read(text)), arrays, self._policy)
            rejection = reply.read_rejection(self._heard(reply.ErrorFacts.read(text)))
        raise rejection

    def close(self) -> None:
        """End the process by ending its input; killed where that does not do."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._ended()

    def kill(self) -> int:
        """End the process now, whatever state it is in, and return its exit status."""
        self._process.kill()
        returncode = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        return returncode

    def _ready(self, deadline: float) -> bool:
        """Wait until the process has loaded everything; return whether it sits in the sandbox."""
        with self._disbelief():
            kind, text, _ = self._answer(deadline)
            if kind is wire.Kind.READY:
                return self._heard(reply.ReadyFacts.read(text)).sandboxed
            refusal = reply.read_refusal(reply.ErrorFacts.read(text))
        self.kill()
        raise refusal

    def _answer(self, deadline: float) -> tuple[wire.Kind, memoryview, memoryview]:
        kind, text_bytes, array_bytes = reply.read_head(self._read(wire.REPLY.size, deadline))
        return kind, self._read(text_bytes, deadline), self._read(array_bytes, deadline)

    def _heard(self, facts: reply.FactsT) -> reply.FactsT:
        self.cpu_s = max(self.cpu_s, facts.cpu_s)  # it is a counter, whatever the child says
        return facts

    @contextlib.contextmanager
    def _disbelief(self) -> Iterator[None]:
        """End a process that answers nonsense: a file has taken it over, or broken its memory."""
        try:
            yield
        except reply.ReplyGarbled as garbled:
            self.kill()
            raise ChildDied(-signal.SIGKILL, f"a garbled reply ({garbled})") from None

    def _write(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._to, rest) :]
            except BlockingIOError:
                self._wait(self._to, select.POLLOUT, deadline)
            except BrokenPipeError:
                raise ChildDied(self._ended()) from None

    def _read(self, count: int, deadline: float) -> memoryview:
        buffer = np.empty(count, np.uint8).data  # a bytearray would be zeroed first, 1.7 MB for each image
        rest = buffer
        while rest:
            try:
                got = os.readv(self._from, [rest])
            except BlockingIOError:
                self._wait(self._from, select.POLLIN, deadline)
                continue
            if not got:
                raise ChildDied(self._ended())
            rest = rest[got:]
        return buffer

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            self.kill()
            raise ChildLate

    def _ended(self) -> int:
        """Reap a process that closed its pipes; one that lives on without them is killed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        return self.kill()


def _environment() -> dict[str, str]:
    """What a decoder may know: where the code lies, and nothing of the worker's settings and secrets."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    # OpenBLAS reserves memory for each core when numpy is imported: on a large machine more than the limit.
    return kept | {"PYTHONPATH": str(_ROOT), "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _widen(descriptor: int) -> None:
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except PermissionError:
            return  # the user's pipes are over their soft limit: slower, not wrong


def _unavailable(why: str) -> DeepTraceError:
    return DecoderUnavailable(
        "a decoder process cannot be started",
        why=why,
        remedy="Check memory, process limits and that `python -P -m model.decoder` starts.",
    )
