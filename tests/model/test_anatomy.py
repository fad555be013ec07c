"""Owns the laws of an image's anatomy: its parts are those of the likelihood, each at its place."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model import TarFlow
from model.anatomy import dissect

FlowMaker = Callable[..., TarFlow]
KINDS = [{}, {"num_classes": 0}, {"volume_preserving": True}, {"blocks": 3, "in_channels": 1}]


def random_images(flow: TarFlow, rows: int = 3) -> Tensor:
    """Standard normal images of the flow's size."""
    config = flow.config
    return torch.randn(rows, config.in_channels, config.image_size, config.image_size, dtype=torch.float64)


def labels_for(flow: TarFlow) -> Tensor | None:
    """Two classes and no class; None for a flow without classes."""
    return torch.tensor([0, 2, -1]) if flow.config.num_classes else None


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_sum_to_the_log_prob_of_the_flow(make_flow: FlowMaker, kind: dict[str, int]) -> None:
    flow = make_flow(**kind)
    images, labels = random_images(flow), labels_for(flow)
    torch.testing.assert_close(dissect(flow, images, labels).log_prob, flow.log_prob(images, labels))


@pytest.mark.parametrize("kind", KINDS)
def test_the_patches_sum_to_the_log_prob(make_flow: FlowMaker, kind: dict[str, int]) -> None:
    flow = make_flow(**kind)
    anatomy = dissect(flow, random_images(flow), labels_for(flow))
    assert anatomy.patch_log_prob.shape == (3, flow.config.patches)
    torch.testing.assert_close(anatomy.patch_log_prob.sum(dim=1), anatomy.log_prob)


def test_the_latents_are_those_of_the_flow(make_flow: FlowMaker) -> None:
    flow = make_flow()
    images, labels = random_images(flow), labels_for(flow)
    assert torch.equal(dissect(flow, images, labels).latents, flow(images, labels)[0])


@pytest.mark.parametrize("place", [0, 2, 6, 8])
def test_a_patch_stands_at_its_place_in_the_image(identity_flow: TarFlow, place: int) -> None:
    images = torch.zeros(1, 2, 6, 6, dtype=torch.float64)
    row, column = 2 * (place // 3), 2 * (place % 3)
    images[:, :, row : row + 2, column : column + 2] = 5.0
    assert int(dissect(identity_flow, images).patch_log_prob.argmin()) == place


def test_the_energies_of_the_identity_are_the_mean_squares_of_the_image(identity_flow: TarFlow) -> None:
    images = random_images(identity_flow)
    squares = identity_flow.patchify(images).square().mean(dim=2)
    expected = squares[:, None].expand(-1, identity_flow.config.blocks + 1, -1)
    torch.testing.assert_close(dissect(identity_flow, images).energies, expected)


def test_the_last_energies_are_those_of_the_latents(make_flow: FlowMaker) -> None:
    anatomy = dissect(make_flow(), random_images(make_flow()))
    torch.testing.assert_close(anatomy.energies[:, -1], anatomy.latents.square().mean(dim=2))


def test_images_of_another_shape_are_refused_by_name(make_flow: FlowMaker) -> None:
    with pytest.raises(ValueError, match="images must have shape"):
        dissect(make_flow(), torch.zeros(1, 1, 6, 6, dtype=torch.float64))
