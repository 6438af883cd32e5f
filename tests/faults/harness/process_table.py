"""What the kernel says about processes (Linux)."""

import os
import platform
from pathlib import Path

PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process, its children not included; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MIB
    except (OSError, IndexError):
        return 0.0


def machine() -> dict[str, object]:
    """Return what a figure depends on."""
    cpu = platform.processor() or platform.machine()
    memory_mib = 0.0
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
        memory_mib = int(Path("/proc/meminfo").read_text().split()[1]) / 1024
    except OSError:
        pass
    return {
        "cores": os.cpu_count(),
        "cpu": cpu,
        "memory_gib": round(memory_mib / 1024, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
