"""The law of the yardstick: it is a TarFlow sampler too."""

import pytest
import torch

from benchmarks.textbook import textbook_sample
from model import TarFlow, TarFlowConfig, sample


@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_the_textbook_loop_makes_our_images(guidance: float) -> None:
    torch.manual_seed(0)
    config = TarFlowConfig(8, 4, channels=16, blocks=2, layers_per_block=2, in_channels=1, head_dim=8, num_classes=3)
    flow = TarFlow(config).double().requires_grad_(False)
    for block in flow.blocks:
        block.proj_out.weight.normal_(std=0.1)
    noise, labels = torch.randn(3, config.patches, config.patch_dims, dtype=torch.float64), torch.tensor([0, 1, 2])
    textbook = textbook_sample(flow, noise, labels, guidance)
    torch.testing.assert_close(sample(flow, noise, labels, guidance), textbook, rtol=0, atol=1e-10)
