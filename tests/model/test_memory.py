"""Owns the laws of foretold memory: the prediction is near the peak, and a full memory is told from other failures."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from model import Sampler, TarFlow, TarFlowConfig, denoise, sample
from model.memory import is_out_of_memory, sampling_bytes, score_bytes
from model.plan import Plan
from model.rounds import Rounds
from model.sampler import Method
from model.stepwise import Stepwise
from tests.model.peak_memory import PeakMemory

TO_A_TENTH = 0.1
# With fewer layers than four, or more values in a patch than channels, the prediction is no longer as good.
CONFIGS = [
    TarFlowConfig(8, 2, 32, 2, 2, head_dim=16, num_classes=3, noise_std=0.1),
    TarFlowConfig(16, 4, 64, 4, 1, in_channels=1, num_classes=3, noise_std=0.1),
    TarFlowConfig(12, 2, 32, 4, 2, in_channels=1, head_dim=8, num_classes=3, noise_std=0.1),
    TarFlowConfig(8, 2, 128, 2, 2, volume_preserving=True, noise_std=0.1),
]
each_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.channels}x{config.patches}")


def flow_of(config: TarFlowConfig, dtype: torch.dtype = torch.float32) -> TarFlow:
    """A flow as it is when it is served: without gradients."""
    return TarFlow(config).requires_grad_(False).to(dtype)


def sampling_peak(config: TarFlowConfig, batch: int, guidance: float, method: Method, dtype: torch.dtype) -> int:
    """Bytes at most while a batch is sampled in plain torch."""
    flow = flow_of(config, dtype)
    labels = torch.arange(batch) % config.num_classes if config.num_classes else None
    sampler = Sampler(flow, Stepwise(flow), Rounds(flow, Stepwise(flow)), Plan())
    with PeakMemory() as memory:
        noise = torch.randn(batch, config.patches, config.patch_dims, dtype=dtype)
        sample(flow, noise, labels, guidance, method=method, sampler=sampler)
    return memory.peak_bytes


@each_config
@pytest.mark.parametrize("method", ["sequential", "parallel"])
@pytest.mark.parametrize(("batch", "guidance"), [(8, 2.0), (12, 0.0)])
def test_sampling_takes_what_was_foretold_to_a_tenth(
    config: TarFlowConfig, batch: int, guidance: float, method: Method
) -> None:
    rows = 2 * batch if guidance and config.num_classes else batch
    window = config.patches - 1 if method == "parallel" else 1
    foretold = sampling_bytes(config, batch, rows, window)
    assert sampling_peak(config, batch, guidance, method, torch.float32) == pytest.approx(foretold, rel=TO_A_TENTH)


@each_config
@pytest.mark.parametrize("batch", [8, 12])
def test_denoising_takes_what_was_foretold_to_a_tenth(config: TarFlowConfig, batch: int) -> None:
    flow = flow_of(config)
    with PeakMemory() as memory:
        denoise(flow, torch.randn(batch, config.in_channels, config.image_size, config.image_size))
    assert memory.peak_bytes == pytest.approx(score_bytes(config, batch), rel=TO_A_TENTH)


@pytest.mark.parametrize("method", ["sequential", "parallel"])
def test_numbers_of_twice_the_size_take_twice_the_memory(method: Method) -> None:
    config, window = CONFIGS[0], CONFIGS[0].patches - 1 if method == "parallel" else 1
    peak = sampling_peak(config, 8, 2.0, method, torch.float64)
    assert peak == pytest.approx(sampling_bytes(config, 8, 16, window, itemsize=8), rel=TO_A_TENTH)


def more_than_there_is() -> None:
    """Ask torch's allocator for a pebibyte."""
    torch.empty(1 << 50, dtype=torch.uint8)


def more_than_numpy_gets() -> None:
    """Ask numpy's allocator for an exbibyte."""
    np.empty(1 << 60, np.uint8)


def more_than_a_gpu_has() -> None:
    """What torch raises where it cannot."""
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1024.00 PiB")


def more_than_cuda_itself_gets() -> None:
    """What torch raises where it instantiates a graph and there is no room for it."""
    raise torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported later")


def more_than_a_library_gets() -> None:
    """What torch raises where cuBLAS is first used on a full GPU."""
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


FULL = [
    more_than_there_is,
    more_than_numpy_gets,
    more_than_a_gpu_has,
    more_than_cuda_itself_gets,
    more_than_a_library_gets,
]


@pytest.mark.parametrize("fill", FULL)
def test_a_full_memory_is_known_for_what_it_is(fill: Callable[[], None]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        fill()
    assert is_out_of_memory(caught.value)


def wrong_shapes() -> Any:
    return torch.zeros(2, 3) @ torch.zeros(2, 3)


def wrong_values() -> Any:
    return TarFlowConfig(image_size=7, patch_size=2, channels=64, blocks=1, layers_per_block=1)


@pytest.mark.parametrize("fail", [wrong_shapes, wrong_values])
def test_no_other_failure_is_taken_for_a_full_memory(fail: Callable[[], Any]) -> None:
    with pytest.raises((RuntimeError, ValueError)) as caught:
        fail()
    assert not is_out_of_memory(caught.value)
