"""The decoder process: `python -P -m model.decoder`, started by the pool and by nothing else.

It reads images from standard input and writes pixels to standard output until its input ends. It holds no credentials, no torch
and no open file but its pipes; it may take so much memory and time and no more; it can open nothing, where the platform has a sandbox
(model/sandbox.py) call nothing; and it dies with its parent.
"""

import ctypes
import json
import math
import os
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.decoder_wire import Buffer

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Answer requests until standard input ends."""
    _die_with_parent()
    settings: dict[str, Any] = json.loads(sys.argv[1])
    requests, replies = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not end up between the frames

    from model import decoder_wire as wire
    from schemas.errors import DecodeMemoryExceeded, DeepTraceError

    try:
        from model.codecs_check import check_codecs
        from model.limits import DecodeLimits
        from model.pixels import preprocess
        from model.policy import policy_of
        from model.rehearsal import rehearse
        from model.sandbox import enter

        limits = DecodeLimits(**settings["limits"])
        policy = policy_of(settings["preprocess_id"])
        check_codecs()
        rehearse(policy, limits)
        _limit_process(limits.memory_bytes)
        sandboxed = settings["sandbox"] != "off" and enter()
        _check_sandbox(sandboxed, required=settings["sandbox"] == "required", rehearse=lambda: rehearse(policy, limits))
    except DeepTraceError as error:
        _send(replies, wire.pack_error(error, time.process_time()))
        return
    _send(replies, wire.pack_ready(time.process_time(), sandboxed=sandboxed))

    while head := requests.read(wire.REQUEST.size):
        seed_bytes, data_bytes = wire.REQUEST.unpack(head)
        seed, data = requests.read(seed_bytes), requests.read(data_bytes)
        if len(data) < data_bytes:  # the parent went away in mid-sentence
            return
        _limit_cpu(limits.cpu_s)
        try:
            reply = wire.pack_pixels(preprocess(data, policy, seed=seed, limits=limits), time.process_time())
        except DeepTraceError as error:
            reply = wire.pack_error(error, time.process_time())
        except MemoryError:
            reply = wire.pack_error(DecodeMemoryExceeded("the image needs too much memory to cut"), time.process_time())
        del data
        _send(replies, reply)


def _send(replies: BinaryIO, reply: "list[Buffer]") -> None:
    replies.writelines(reply)
    replies.flush()


def _die_with_parent() -> None:
    """Ask Linux for SIGKILL when the parent goes; elsewhere, the end of standard input has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_process(memory_bytes: int) -> None:
    """Hard limits, which hold on platforms without the sandbox too; a decoder that runs as root could raise them there."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # pipes are no files: a decoder has no business writing one
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (0, 0)
    )  # what is open stays open; no file, no socket can be opened any more
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _check_sandbox(sandboxed: bool, *, required: bool, rehearse: "Callable[[], None]") -> None:
    """Raise `ConfigError` where the sandbox is missing and may not be, or where a format does not decode inside it."""
    from schemas.errors import ConfigError

    if not sandboxed and required:
        raise ConfigError(
            "decoders cannot be sandboxed here",
            why="this platform has no seccomp filters",
            remedy="Run on Linux (x86_64 or aarch64), or do not require the sandbox.",
        )
    try:
        rehearse()
    except Exception as error:
        raise ConfigError(
            "decoding does not work within the decoder's limits",
            why=f"{type(error).__name__}: memory_bytes is too small, or the C library needs a call that the sandbox refuses",
            remedy="Raise the decoder's memory; else report the platform, and turn the sandbox off until then.",
        ) from error


def _limit_cpu(cpu_s: int) -> None:
    """Let this image use `cpu_s` more seconds; past them the kernel sends SIGXCPU, which ends the process."""
    used = math.ceil(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used + cpu_s, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
