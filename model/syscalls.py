"""The system calls that `model/sandbox.py` names, by number on each machine; -1 where the machine has no such call.

From the kernel's `asm/unistd_64.h` (x86_64) and `asm-generic/unistd.h` (aarch64). Numbers never change.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor as seccomp names it, and its column in the table."""

    audit_arch: int
    column: int

    def number(self, name: str) -> int:
        """Return the number of a call."""
        return _NUMBERS[name][self.column]


MACHINES: Final = {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1), "arm64": Machine(0xC00000B7, 1)}

_NUMBERS: Final = {
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "bpf": (321, 280),
    "brk": (12, 214),
    "clock_gettime": (228, 113),
    "close": (3, 57),
    "connect": (42, 203),
    "execve": (59, 221),
    "execveat": (322, 281),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "fork": (57, -1),
    "fstat": (5, 80),
    "futex": (202, 98),
    "getpid": (39, 172),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kill": (62, 129),
    "listen": (50, 201),
    "lseek": (8, 62),
    "madvise": (28, 233),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "prlimit64": (302, 261),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "read": (0, 63),
    "readv": (19, 65),
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "sendmmsg": (307, 269),
    "sendmsg": (46, 211),
    "sendto": (44, 206),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "tgkill": (234, 131),
    "times": (100, 153),
    "vfork": (58, -1),
    "write": (1, 64),
    "writev": (20, 66),
}
