"""What a reader needs to judge a duration: the machine's kind, never its name."""

import os
import platform
from typing import Any

import torch


def hardware(device: torch.device | None = None) -> dict[str, Any]:
    """Return processor, cores, threads and versions, and the GPU where one was used."""
    told: dict[str, Any] = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device is not None and device.type == "cuda":
        told["gpu"] = torch.cuda.get_device_name(device)
        told["gpu_peak_bytes"] = torch.cuda.max_memory_allocated(device)
    return told
