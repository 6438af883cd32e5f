"""A tiny process between an owner and a server: `python -m streams.stack.guardian OWNER_PID LIFELINE REPORT COMMAND...`.

The guardian starts the server, writes its pid to the REPORT pipe and waits. When the owner's end of the LIFELINE pipe
closes, because the owner let go or was killed in whatever way, it stops the server. So nothing has to run in the
dying owner.

Why not `PR_SET_PDEATHSIG` in the owner's children: that signal comes when the *thread* that started the child ends,
and owners start servers from threads; macOS lacks it. The guardian has one thread, so it does use it for its own
child, where the system has it: a killed guardian takes the server along.

OWNER_PID 0 stands for no owner: the guardian reports the pid and leaves, and the server lives on by itself.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys

_GRACE_S = 5.0
# The lifeline is the fast way; a process that the owner forked may hold it open, so the parent's pid is looked at too.
_OWNER_CHECK_S = 1.0
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Run until the server ends or the owner is gone; return the server's exit status."""
    owner_pid, lifeline, report = (int(argument) for argument in arguments[:3])
    command = arguments[3:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, who ends us in the right order
    wakeup, wakeup_in = os.pipe()
    os.set_blocking(wakeup_in, False)
    signal.set_wakeup_fd(wakeup_in, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=owner_pid == 0,
        preexec_fn=_die_with_guardian if owner_pid else None,  # noqa: PLW1509  # this process has one thread
    )
    os.write(report, str(server.pid).encode())
    os.close(report)
    if owner_pid == 0:
        os._exit(0)  # without waiting: the server is the system's child from here on
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    while server.poll() is None:
        readable, _, _ = select.select([lifeline, wakeup], [], [], _OWNER_CHECK_S)
        if lifeline in readable or os.getppid() != owner_pid:
            _end(server)
        elif wakeup in readable:
            os.read(wakeup, 512)
    return abs(server.wait())


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _die_with_guardian() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
