"""Owns the laws of the arithmetic's count: it is what torch counts, and what the rule of thumb says."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model import TarFlow, TarFlowConfig
from training.throughput import forward_flops, peak_flops_per_s, peak_of, training_flops

CONFIG = TarFlowConfig(8, 2, 32, 3, 2, in_channels=3, head_dim=16, num_classes=4)
UNLIKE = [
    CONFIG,
    replace(CONFIG, volume_preserving=True),
    replace(CONFIG, patch_size=4, in_channels=1, num_classes=0),
    replace(CONFIG, channels=64, blocks=2, layers_per_block=3),
]
IMAGES = 2


def counted(config: TarFlowConfig, backward: bool) -> int:
    """What torch counts for one image; attention as plain products, which it counts in both directions."""
    flow, images = TarFlow(config), torch.zeros(IMAGES, config.in_channels, config.image_size, config.image_size)
    labels = torch.zeros(IMAGES, dtype=torch.int64) if config.num_classes else None
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        loss = flow.log_prob(images, labels).sum()
        if backward:
            loss.backward()
    assert counter.get_total_flops() % IMAGES == 0
    return counter.get_total_flops() // IMAGES


@pytest.mark.parametrize("config", UNLIKE)
def test_the_forward_pass_is_what_torch_counts(config: TarFlowConfig) -> None:
    assert forward_flops(config) == counted(config, backward=False)


@pytest.mark.parametrize("config", UNLIKE)
def test_a_training_step_is_what_torch_counts_but_for_the_gradient_of_the_images(config: TarFlowConfig) -> None:
    images_gradient = 2 * (config.patches - 1) * config.patch_dims * config.channels
    assert training_flops(config) == counted(config, backward=True) + images_gradient


def test_a_large_flow_costs_about_six_operations_a_weight_and_patch() -> None:
    config = TarFlowConfig(32, 2, 256, 6, 4)
    with torch.device("meta"):
        weights = sum(weight.numel() for weight in TarFlow(config).parameters())
    assert training_flops(config) == pytest.approx(6 * weights * config.patches, rel=0.2)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA A10G", 125e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        ("NVIDIA GeForce GTX 1080", None),
        ("NVIDIA L400", None),
    ],
)
def test_a_gpu_is_known_by_its_makers_name(name: str, peak: float | None) -> None:
    assert peak_of(name) == peak


def test_a_cpu_has_no_known_peak() -> None:
    assert peak_flops_per_s(torch.device("cpu")) is None
