"""Which failures of torch cost a batch and which end the worker, with a device that answers and one that does not."""

import pytest
import torch

from model.device_faults import device_faults
from schemas.errors import BatchFailed, DeviceLost

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def _cuda_error(code: int) -> torch.AcceleratorError:
    """As torch raises it: the number of the CUDA error is an attribute."""
    error = torch.AcceleratorError("CUDA error")
    error.error_code = code
    return error


def _answers(device: torch.device) -> None:
    pass


def _answers_no_more(device: torch.device) -> None:
    raise _cuda_error(719)


def _named(error, device, settle=_answers):
    """What the error becomes on its way out."""
    with pytest.raises(Exception) as caught, device_faults(device, images=8, settle=settle):
        raise error
    return caught.value


@pytest.mark.parametrize("code", [710, 719, 46])
def test_a_cuda_error_is_a_lost_device(code):
    """Whatever its number, and its number is told."""
    lost = _named(_cuda_error(code), CUDA)
    assert (type(lost), lost.why) == (DeviceLost, f"CUDA error {code}")


@pytest.mark.parametrize("device", [CPU, CUDA], ids=str)
@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("memory"), _cuda_error(2), MemoryError()], ids=["torch", "cuda", "host"]
)
def test_want_of_memory_is_a_failed_batch(error, device):
    """Half of the batch may do; cudaErrorMemoryAllocation leaves the device whole."""
    assert type(_named(error, device)) is BatchFailed


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("memory"), RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED")])
def test_a_device_that_answers_no_more_is_lost(error):
    """Libraries raise a bare RuntimeError for a broken context; the device is asked and not the text."""
    lost = _named(error, CUDA, _answers_no_more)
    assert (type(lost), lost.why, lost.__cause__) == (DeviceLost, "CUDA error 719", error)


def test_an_error_that_left_the_device_whole_passes():
    """It may be one image's own, so it is for the batcher to find out."""
    error = RuntimeError("shape mismatch")
    assert _named(error, CUDA) is error


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), _cuda_error(719), ValueError("no")])
def test_a_cpu_cannot_be_lost(error):
    """Nor is it asked: there is no CUDA to ask."""
    assert _named(error, CPU, _answers_no_more) is error
