"""Takes from a decoder, before it sees the first file, whatever it does not need to compute: files, network, other processes, programs.

A list of what is allowed, not of what is forbidden: a decoder that has everything loaded asks the kernel for a dozen things only (traced over
the hostile and the ordinary files), while the kernel grows new calls every year. Anything else is answered with EPERM, which libraries take as
"not available here"; what no decoder has any reason to try ends the process, so that the pool sees SIGSYS and the image is dead-lettered.
"""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from model.syscalls import MACHINES, Machine

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2

_KILL: Final = 0x8000_0000  # the whole process, by SIGSYS
_EPERM: Final = 0x0005_0001
_ALLOW: Final = 0x7FFF_0000

_LOAD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_AT_NUMBER, _AT_MACHINE, _AT_ARGUMENTS = 0, 4, 16

_PROT_EXEC: Final = 4
_RLIMIT_CPU: Final = 0

_ALLOWED: Final = (
    *("read", "write", "clock_gettime", "brk", "munmap", "mremap", "madvise", "futex", "lseek", "close", "fstat"),
    *("readv", "writev", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "restart_syscall", "sched_yield"),
    *("getrandom", "getrusage", "times", "gettimeofday", "getpid", "gettid", "sched_getaffinity", "exit", "exit_group"),
)
_FATAL: Final = (
    *("execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "kill", "bpf"),
    *("socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg", "sendmmsg"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "pidfd_getfd", "pidfd_send_signal"),
)

_Step = tuple[int, int, int, int]


def enter() -> bool:
    """Lock this process in, for good; False where the platform offers no seccomp filter (not Linux, another processor, an old kernel).

    Everything must be imported and every codec used once before: no file can be opened afterwards. The process must have one thread.
    """
    machine = MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None or struct.calcsize("P") != 8:  # noqa: PLR2004 -- 32-bit has other numbers
        return False
    return _install(b"".join(struct.pack("<HBBI", *step) for step in _program(machine, os.getpid())))


def _install(program: bytes) -> bool:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    as_longs = [ctypes.c_ulong(number) for number in (1, 0, 0, 0)]
    if prctl(_PR_SET_NO_NEW_PRIVS, *as_longs) != 0:
        return False
    answer: int = prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), header)
    return answer == 0


def _program(machine: Machine, pid: int) -> Iterator[_Step]:
    """Yield the filter's steps; each block either returns or falls through to the next."""
    yield _LOAD, 0, 0, _AT_MACHINE
    yield _JUMP_EQUAL, 1, 0, machine.audit_arch
    yield _RETURN, 0, 0, _KILL  # called by the numbers of another machine
    yield _LOAD, 0, 0, _AT_NUMBER
    for names, verdict in ((_ALLOWED, _ALLOW), (_FATAL, _KILL)):
        for number in map(machine.number, names):
            if number >= 0:
                yield _JUMP_EQUAL, 0, 1, number
                yield _RETURN, 0, 0, verdict
    # No page may become executable any more: injected code stays data.
    for name in ("mmap", "mprotect"):
        yield from _if(machine.number(name), _Test(2, _JUMP_ANY_BIT, _PROT_EXEC, wanted=False))
    # Its own allowance of CPU time, image by image, and no other limit of nobody else; signals to itself alone: that is how abort() ends it.
    itself = _Test(0, _JUMP_EQUAL, 0)
    yield from _if(machine.number("prlimit64"), itself, _Test(1, _JUMP_EQUAL, _RLIMIT_CPU))
    yield from _if(machine.number("tgkill"), _Test(0, _JUMP_EQUAL, pid))
    yield _RETURN, 0, 0, _EPERM


@dataclass(frozen=True, slots=True)
class _Test:
    """A question about one argument of a call."""

    position: int
    jump: int
    operand: int
    wanted: bool = True


def _if(number: int, *tests: _Test) -> Iterator[_Step]:
    """Allow a call if all tests come out as wanted."""
    yield _JUMP_EQUAL, 0, 2 * len(tests) + 2, number
    for left, test in zip(range(len(tests) - 1, -1, -1), tests, strict=True):
        yield _LOAD, 0, 0, _AT_ARGUMENTS + 8 * test.position  # the low half: both machines are little-endian
        to_refusal = 2 * left + 1
        yield (test.jump, 0, to_refusal, test.operand) if test.wanted else (test.jump, to_refusal, 0, test.operand)
    yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _EPERM
