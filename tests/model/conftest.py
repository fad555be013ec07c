"""Tiny flows with random weights, for every test of `model`.

Owns the seed of a test and what "tiny" means. Knows no law.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from model import TarFlow, TarFlowConfig

WEIGHT_STD = 0.3
OUTPUT_STD = 0.1  # Larger log-scales would make a few blocks overflow.
TINY: dict[str, Any] = {
    "image_size": 6,
    "patch_size": 2,
    "in_channels": 2,
    "channels": 8,
    "head_dim": 4,
    "blocks": 2,
    "layers_per_block": 2,
    "num_classes": 3,
    "noise_std": 0.1,
}


@pytest.fixture(autouse=True)
def seed() -> None:
    """Make a test's random numbers its own: the same whichever tests run before it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def make_flow() -> Callable[..., TarFlow]:
    """A maker of float64 flows: 9 patches of 8 values, every weight random, so that nothing is zero by luck."""

    def make(**changes: object) -> TarFlow:
        flow = TarFlow(TarFlowConfig(**TINY | changes)).double()
        with torch.no_grad():
            for weight in flow.parameters():
                weight.normal_(std=WEIGHT_STD)
            for block in flow.blocks:
                block.proj_out.weight.normal_(std=OUTPUT_STD)
            if flow.config.volume_preserving:
                flow.var.uniform_(0.5, 2.0)
        return flow

    return make


@pytest.fixture
def identity_flow(make_flow: Callable[..., TarFlow]) -> TarFlow:
    """A flow whose output layers are zero, weight and bias: the identity, its density the standard normal's."""
    flow = make_flow()
    with torch.no_grad():
        for block in flow.blocks:
            block.proj_out.weight.zero_()
            block.proj_out.bias.zero_()
    return flow
