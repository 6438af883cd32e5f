"""What a decoder that a file has taken over would try. Each attempt is made in a process of its own, inside the sandbox, and is denied."""

import os
import platform
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from model import sandbox
from model.syscalls import MACHINES

ROOT = Path(__file__).parents[3]
needs_seccomp = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES, reason="the sandbox is Linux's seccomp"
)

ATTEMPT = """
import ctypes, io, mmap, os, resource, signal, socket, subprocess, sys, threading
from model.sandbox import enter
parent, libc = os.getppid(), ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(number, *map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), "")
print("in" if enter() else "out", flush=True)
try:
    {attempt}
except (OSError, RuntimeError, ValueError) as error:
    print(type(error).__name__, flush=True)
else:
    print("did it", flush=True)
"""


def attempt(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ATTEMPT.format(attempt=code)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
        env={**os.environ, "DEEPTRACE_STORE__SECRET_KEY": "canary"},
    )


@needs_seccomp
@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/hostname').read()",
        "open(f'/proc/{parent}/environ').read()",
        "open('/proc/self/environ').read()",
        "open('/tmp/deeptrace-was-here', 'w')",
        "os.listdir('/')",
        "os.stat('/etc/passwd')",
        "os.unlink('/tmp/deeptrace-was-here')",
        "os.mkdir('/tmp/deeptrace-was-here')",
        "os.rename('/tmp/a', '/tmp/b')",
        "os.chmod('/tmp', 0o777)",
        "os.memfd_create('x')",
        "os.pidfd_open(parent)",
        "os.fork()",
        "threading.Thread(target=print).start()",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
        "resource.prlimit(parent, resource.RLIMIT_CPU, (1, 1))",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))",
        "os.setpriority(os.PRIO_PROCESS, parent, 19)",
        "os.sched_setaffinity(parent, {0})",
        "os.chroot('/')",
        "os.setuid(0)",
    ],
)
def test_what_a_decoder_has_no_use_for_is_denied(code):
    """Files, directories, processes, threads, executable memory, other processes' limits."""
    tried = attempt(code)
    # A thread that cannot be started is a RuntimeError, a limit that cannot be set a ValueError.
    assert tried.stdout.split() in (["in", "PermissionError"], ["in", "RuntimeError"], ["in", "ValueError"]), tried


@needs_seccomp
@pytest.mark.parametrize(
    "code",
    [
        "socket.socket()",
        "socket.socket(socket.AF_UNIX)",
        "socket.socketpair()",
        "os.execv('/bin/true', ['true'])",
        "os.kill(parent, 0)",
        "os.kill(parent, signal.SIGKILL)",
        "libc.ptrace(ctypes.c_long(16), ctypes.c_long(parent), None, None)",
        "libc.process_vm_readv(parent, None, ctypes.c_ulong(0), None, ctypes.c_ulong(0), ctypes.c_ulong(0))",
        "call(425, 8, 0)",
    ],
)
def test_what_only_an_attacker_tries_ends_the_process(code):
    """Network, programs, signals to and the memory of others, io_uring: SIGSYS, which the pool sees."""
    tried = attempt(code)
    assert (tried.stdout.split(), tried.returncode) == (["in"], -signal.SIGSYS), tried


@needs_seccomp
def test_what_is_open_stays_usable_and_an_abort_still_ends():
    """Pipes, memory and clocks work; a library's abort() is a death like any other."""
    works = (
        "print(len(bytes(1 << 26)), __import__('time').process_time() > 0, os.read(0, 1), os.getpid() > 0, flush=True)"
    )
    assert attempt(works).stdout.split("\n")[1] == "67108864 True b'' True"
    assert attempt("os.abort()").returncode == -signal.SIGABRT
    assert attempt("os.kill(os.getpid(), signal.SIGTERM)").returncode == -signal.SIGSYS


@needs_seccomp
def test_a_subprocess_is_refused():
    """The way a shell would be had in Python."""
    tried = attempt("subprocess.run(['true'])")
    assert "did it" not in tried.stdout


def run_filter(steps, *, arch, number, arguments=(0,) * 6):
    """Interpret a classic BPF program over seccomp's data, as the kernel does; return its answer."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *arguments)
    at, loaded = 0, 0
    while True:
        code, if_true, if_false, operand = steps[at]
        at += 1
        if code == 0x20:
            (loaded,) = struct.unpack_from("<I", data, operand)
        elif code == 0x15:
            at += if_true if loaded == operand else if_false
        elif code == 0x45:
            at += if_true if loaded & operand else if_false
        else:
            return operand


@pytest.mark.parametrize("name", ["x86_64", "aarch64"])
def test_the_filter_allows_its_list_and_nothing_else_on_either_machine(name):
    """Every number a kernel could have, the other machine's way of calling included."""
    machine = MACHINES[name]
    steps = list(sandbox._program(machine, 4711))
    answers = {number: run_filter(steps, arch=machine.audit_arch, number=number) for number in range(1024)}
    conditional = {machine.number(call) for call in ("mmap", "mprotect", "prlimit64")}
    assert {number for number, answer in answers.items() if answer == sandbox._ALLOW} == conditional | {
        machine.number(call) for call in sandbox._ALLOWED
    }
    assert {number for number, answer in answers.items() if answer == sandbox._KILL} == {
        machine.number(call) for call in sandbox._FATAL
    } - {-1}
    other = MACHINES["aarch64" if name == "x86_64" else "x86_64"].audit_arch
    assert run_filter(steps, arch=other, number=machine.number("read")) == sandbox._KILL
    assert run_filter(steps, arch=machine.audit_arch, number=0x4000_0000) == sandbox._EPERM  # x32's numbers


@pytest.mark.parametrize("name", ["x86_64", "aarch64"])
@pytest.mark.parametrize(
    ("call", "arguments", "allowed"),
    [
        ("mmap", (0, 4096, 3), True),
        ("mmap", (0, 4096, 7), False),
        ("mprotect", (0, 4096, 1), True),
        ("mprotect", (0, 4096, 4), False),
        ("prlimit64", (0, 0), True),
        ("prlimit64", (0, 7), False),
        ("prlimit64", (4711, 0), False),
        ("tgkill", (4711, 4711, 6), True),
        ("tgkill", (4710, 4710, 9), False),
    ],
)
def test_arguments_decide_where_a_call_can_be_either(name, call, arguments, allowed):
    """Memory but no code, one's own CPU limit but no other, signals to oneself alone."""
    machine = MACHINES[name]
    answer = run_filter(
        list(sandbox._program(machine, 4711)),
        arch=machine.audit_arch,
        number=machine.number(call),
        arguments=(*arguments, *[0] * (6 - len(arguments))),
    )
    assert answer == (sandbox._ALLOW if allowed else sandbox._EPERM)


def test_nothing_is_loaded_after_the_rehearsal():
    """Any import or file that a picture would need later has been had before: inside the sandbox it could not be."""
    code = """
import sys
from support.hostile import hostile_images
from model.limits import DEFAULT_LIMITS
from model.pixels import preprocess
from model.policy import DEFAULT_POLICY
from model.rehearsal import rehearse
from schemas.errors import DeepTraceError
cases = hostile_images()
rehearse(DEFAULT_POLICY, DEFAULT_LIMITS)
seen = []
sys.addaudithook(lambda name, arguments: seen.append((name, arguments[0])) if name in {"import", "open"} else None)
for _, data, _ in cases:
    try:
        preprocess(data, seed=b"")
    except DeepTraceError:
        pass
print(seen)
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )
    assert found.stdout == "[]\n", found
