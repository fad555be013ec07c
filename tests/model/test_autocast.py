"""Owns the laws of bfloat16 autocast: what the log-determinant and the affine map are made of stays in float32."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model import TarFlow

FlowMaker = Callable[..., TarFlow]
LABELS = torch.tensor([0, 1, 2, -1])


@pytest.fixture
def flow(make_flow: FlowMaker) -> TarFlow:
    """A tiny conditional flow in float32."""
    return make_flow().float()


def images_of(flow: TarFlow) -> Tensor:
    """As many images as there are labels."""
    size = flow.config.image_size
    shape = (len(LABELS), flow.config.in_channels, size, size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def autocast() -> torch.autocast:
    """As in training."""
    return torch.autocast("cpu", torch.bfloat16)


def rounded_share(values: Tensor) -> float:
    """Share of the values, zeros apart, that bfloat16 could hold."""
    values = values[values != 0]
    return (values == values.bfloat16().float()).float().mean().item()


def test_latents_and_log_determinants_are_float32(flow: TarFlow) -> None:
    with autocast():
        latents, log_abs_dets = flow.encode(images_of(flow), LABELS)
    assert (latents.dtype, log_abs_dets.dtype) == (torch.float32, torch.float32)


def test_log_densities_are_float32(flow: TarFlow) -> None:
    with autocast():
        assert flow.log_prob(images_of(flow), LABELS).dtype == torch.float32


def test_log_scales_and_shifts_are_not_rounded(flow: TarFlow) -> None:
    block = flow.blocks[0]
    with autocast():
        output = block.conditioners(flow.patchify(images_of(flow))[:, :-1], block.class_vectors(LABELS, len(LABELS)))
    assert max(rounded_share(part) for part in block.affine(output)) < 0.1


def test_what_the_attention_computes_is_rounded(flow: TarFlow) -> None:
    with autocast():
        assert flow.blocks[0].attn_blocks[0].attention.qkv(torch.ones(1, flow.config.channels)).dtype == torch.bfloat16


def test_the_loss_is_close_to_that_of_float32(flow: TarFlow) -> None:
    images = images_of(flow)
    with autocast():
        ours = flow.log_prob(images, LABELS) / flow.config.dims
    torch.testing.assert_close(ours, flow.log_prob(images, LABELS) / flow.config.dims, rtol=0, atol=5e-3)


def test_the_gradient_is_close_to_that_of_float32(flow: TarFlow) -> None:
    images, weight = images_of(flow), flow.blocks[0].proj_out.weight
    (theirs,) = torch.autograd.grad(flow.log_prob(images, LABELS).mean(), weight)
    with autocast():
        loss = flow.log_prob(images, LABELS).mean()
    (ours,) = torch.autograd.grad(loss, weight)
    assert (ours - theirs).norm() < 0.02 * theirs.norm()
