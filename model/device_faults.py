"""What a failure of torch means for the batch and for the worker: too much at once, or a device that is gone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch

from schemas.errors import BatchFailed, DeviceLost

_CUDA_OUT_OF_MEMORY: Final = (
    2  # cudaErrorMemoryAllocation: raised outside torch's allocator, and it leaves the context whole
)


def settle(device: torch.device) -> None:
    """Wait for what the device was given and free its cached memory; raises `RuntimeError` when its context is broken."""
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()


@contextmanager
def device_faults(
    device: torch.device, *, images: int, settle: Callable[[torch.device], None] = settle
) -> Iterator[None]:
    """Raise `BatchFailed` for want of memory and `DeviceLost` for a CUDA device that is gone; other errors pass unchanged.

    Libraries such as cuBLAS raise a bare RuntimeError, whatever befell them, so the device is asked: an error that broke its
    context comes back from every later call.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if device.type == "cuda":
            if isinstance(error, torch.AcceleratorError) and not _out_of_memory(error):
                raise _lost(error) from error
            try:
                settle(device)
            except RuntimeError as broken:
                raise _lost(broken) from error
        if _out_of_memory(error):
            raise BatchFailed(f"out of memory on a batch of {images} images") from error
        raise


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, torch.AcceleratorError) and getattr(error, "error_code", None) == _CUDA_OUT_OF_MEMORY
    )


def _lost(error: RuntimeError) -> DeviceLost:
    code = getattr(error, "error_code", None)
    return DeviceLost(
        "the GPU is lost",
        why=f"CUDA error {code}" if code is not None else type(error).__name__,
        remedy="Restart the worker; if it happens again, look at `nvidia-smi` and the kernel log for Xid errors.",
    )
