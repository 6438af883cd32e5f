"""Decodes in processes of their own, so that whatever a file does to a decoder costs that file and nothing else."""

import asyncio
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Self

from model.decode import too_large
from model.decoder_child import ChildDied, ChildLate, DecoderChild, Sandbox
from model.limits import DEFAULT_LIMITS, DecodeLimits
from model.pixels import Pixels
from model.policy import DEFAULT_POLICY, PixelPolicy
from schemas.errors import DecodeCrash, DecodeMemoryExceeded, DecodeTimeout, ImageTooComplex


@dataclass(frozen=True, slots=True)
class _Job:
    data: bytes
    seed: bytes
    answer: "Future[Pixels]" = field(default_factory=Future)


class DecodePool:
    """`size` decoder processes, each fed by a thread of its own; the event loop never waits on a pipe."""

    def __init__(
        self,
        size: int,
        *,
        limits: DecodeLimits = DEFAULT_LIMITS,
        policy: PixelPolicy = DEFAULT_POLICY,
        sandbox: Sandbox = "auto",
    ) -> None:
        """Start the processes in the background; `warm_up` waits for them."""
        if size < 1:
            raise ValueError(f"a pool needs at least one process, not {size}")
        self._limits = limits
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lanes = [_Lane(limits, policy, sandbox) for _ in range(size)]
        self._threads = [
            threading.Thread(target=lane.serve, args=(self._jobs,), name=f"decoder-{index}", daemon=True)
            for index, lane in enumerate(self._lanes)
        ]
        self._open = True
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Block until every process is ready; raises `ConfigError` or `DecoderUnavailable` if one cannot start."""
        for lane in self._lanes:
            lane.ready.result()

    async def decode(self, data: bytes, *, seed: bytes) -> Pixels:
        """Decode one image; the same bytes and seed give the same pixels.

        Raises a rejection of the image (`ImageTooComplex` past the CPU limit, `DecodeCrash` when two processes died of it),
        `DecodeTimeout` past the wall limit, `DecoderUnavailable` when no process can be started. Other images never notice.
        """
        if not self._open:
            raise RuntimeError("the pool is closed")
        if len(data) > self._limits.max_bytes:  # not worth the way to a decoder, which would say the same
            raise too_large(data, self._limits)
        job = _Job(data, seed)
        self._jobs.put(job)
        return await asyncio.wrap_future(job.answer)

    @property
    def cpu_seconds(self) -> float:
        """CPU time that all processes of this pool have used so far, as each told with its last answer."""
        return sum(lane.cpu_seconds for lane in self._lanes)

    @property
    def restarts(self) -> int:
        """How many processes were given up so far because they died, were late or ran out of memory; worn ones do not count."""
        return sum(lane.restarts for lane in self._lanes)

    @property
    def sandboxed(self) -> bool:
        """Whether every decoder that runs now can open and call nothing (model/sandbox.py); known once warm."""
        return all(lane.sandboxed for lane in self._lanes)

    @property
    def pids(self) -> list[int]:
        """Process ids of the decoders that run now."""
        return [pid for lane in self._lanes if (pid := lane.pid) is not None]

    def close(self) -> None:
        """Drop what waits, finish what runs (bounded by the wall limit), end every process. May be called twice."""
        self._open = False
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is not None:
                job.answer.cancel()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()


class _Lane:
    """One thread and its decoder process; the process is replaced when it is worn, dead or late."""

    def __init__(self, limits: DecodeLimits, policy: PixelPolicy, sandbox: Sandbox) -> None:
        self.ready: Future[None] = Future()
        self.restarts = 0
        self._limits = limits
        self._policy = policy
        self._sandbox: Sandbox = sandbox
        self._child: DecoderChild | None = None
        self._spent_s = 0.0  # CPU time of the processes that are gone

    @property
    def cpu_seconds(self) -> float:
        child = self._child
        return self._spent_s + (child.cpu_s if child else 0.0)

    @property
    def pid(self) -> int | None:
        child = self._child
        return child.pid if child else None

    @property
    def sandboxed(self) -> bool:
        child = self._child
        return child is None or child.sandboxed

    def serve(self, jobs: "queue.SimpleQueue[_Job | None]") -> None:
        try:
            self._start()
        except BaseException as error:  # noqa: BLE001 -- told to whoever warms up; jobs try to start one again
            self.ready.set_exception(error)
        else:
            self.ready.set_result(None)
        while (job := jobs.get()) is not None:
            if not job.answer.set_running_or_notify_cancel():
                continue
            try:
                job.answer.set_result(self._decode(job))
            except BaseException as error:  # noqa: BLE001 -- every job gets an answer
                job.answer.set_exception(error)
        self._drop(kill=False)

    def _decode(self, job: _Job) -> Pixels:
        for _attempt in range(2):
            child = self._child or self._start()
            try:
                pixels = child.ask(job.data, job.seed)
            except ChildLate:
                self._drop()
                raise DecodeTimeout("decoding took too long", why=f"more than {self._limits.wall_s:g} s") from None
            except ChildDied as died:
                self._drop()
                if died.cpu_exceeded:
                    raise ImageTooComplex(
                        "the image takes too long to decode",
                        why=f"more than {self._limits.cpu_s} s of CPU time",
                        remedy="Save it anew, smaller, and upload it again.",
                    ) from None
                cause = died.cause
            except DecodeMemoryExceeded:
                self._drop()  # its heap is as large as it may get
                raise
            else:
                if child.served >= self._limits.images_per_child:
                    self._drop(kill=False)
                return pixels
        raise DecodeCrash(
            "the decoder died of this image, twice", why=cause, remedy="Do not open the file elsewhere unguarded."
        )

    def _start(self) -> DecoderChild:
        self._child = DecoderChild(self._limits, self._policy, self._sandbox)
        return self._child

    def _drop(self, *, kill: bool = True) -> None:
        if (child := self._child) is None:
            return
        self._spent_s += child.cpu_s
        self._child = None
        if kill:
            self.restarts += 1
            child.kill()
        else:
            child.close()
