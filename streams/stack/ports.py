import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_LOWEST = 15_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As Java and Go do; without it the port of a server stopped a moment ago counts as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Return `count` different free loopback ports, below the range that the kernel gives to outgoing connections.

    A server that is restarted on its old port must find it free; a port of the ephemeral range may have become
    somebody's client socket in between.
    """
    candidates = range(_LOWEST, max(_ephemeral_start(), _LOWEST + 1_000))
    found: list[int] = []
    for port in random.sample(candidates, len(candidates)):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    return found


def _ephemeral_start() -> int:
    try:
        return int(_EPHEMERAL_RANGE.read_text().split()[0])
    except OSError:  # not Linux; the range of IANA, which the BSDs and macOS use
        return 49_152
