"""Owns the laws of the flow as a density: invertible, causal, its log-det the Jacobian's, rows apart, doors guarded."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from model import TarFlow, sample
from model.flow_block import FlowBlock

FlowMaker = Callable[..., TarFlow]
LABELS = torch.tensor([0, 2, -1])
KINDS = [{}, {"num_classes": 0}, {"volume_preserving": True}, {"blocks": 3, "in_channels": 1}]


def random_images(flow: TarFlow, rows: int = len(LABELS)) -> Tensor:
    """Standard normal images of the flow's size."""
    config = flow.config
    return torch.randn(rows, config.in_channels, config.image_size, config.image_size, dtype=torch.float64)


def labels_for(flow: TarFlow) -> Tensor | None:
    """Two classes and no class; None for a flow without classes."""
    return LABELS if flow.config.num_classes else None


def random_patches(flow: TarFlow) -> Tensor:
    """One standard normal sequence of patches."""
    return torch.randn(1, flow.config.patches, flow.config.patch_dims, dtype=torch.float64)


def moved_latents(block: FlowBlock, patches: Tensor, moved: int) -> Tensor:
    """In the block's own order: which latents change when the patch in place `moved` does; (T,) bool."""
    ordered = block.orient(patches).clone()
    ordered[:, moved] += 0.5
    before, after = (block.orient(block(each, None)[0]) for each in (patches, block.orient(ordered)))
    return (before != after).any(dim=2)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_the_latents_of_an_image_gives_the_image_back(make_flow: FlowMaker, kind: dict[str, int]) -> None:
    flow = make_flow(**kind)
    images, labels = random_images(flow), labels_for(flow)
    noise = flow(images, labels)[0] / flow.var.sqrt()
    torch.testing.assert_close(sample(flow, noise, labels, guidance=0), images, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_latents_of_a_sample_are_the_prior_noise_it_came_from(make_flow: FlowMaker, kind: dict[str, int]) -> None:
    flow = make_flow(**kind)
    noise, labels = flow.patchify(random_images(flow)), labels_for(flow)
    latents = flow(sample(flow, noise, labels, guidance=0), labels)[0]
    torch.testing.assert_close(latents, noise * flow.var.sqrt(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("index", [0, 1], ids=["forward", "backward"])
@pytest.mark.parametrize("moved", [0, 4, 8])
def test_moving_a_patch_moves_no_latent_before_it(make_flow: FlowMaker, index: int, moved: int) -> None:
    flow = make_flow()
    assert not moved_latents(flow.blocks[index], random_patches(flow), moved)[:moved].any()


@pytest.mark.parametrize("index", [0, 1], ids=["forward", "backward"])
@pytest.mark.parametrize("moved", [0, 4, 8])
def test_moving_a_patch_moves_its_latent_and_every_one_after_it(make_flow: FlowMaker, index: int, moved: int) -> None:
    flow = make_flow()
    assert moved_latents(flow.blocks[index], random_patches(flow), moved)[moved:].all()


@pytest.mark.parametrize(("index", "unmoved"), [(0, 0), (1, 8)], ids=["forward", "backward"])
def test_a_block_leaves_only_the_first_patch_of_its_order_as_it_is(
    make_flow: FlowMaker, index: int, unmoved: int
) -> None:
    flow = make_flow()
    patches = random_patches(flow)
    same = (flow.blocks[index](patches, None)[0] == patches).all(dim=2)[0]
    assert torch.nonzero(same).flatten().tolist() == [unmoved]


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_det_is_that_of_the_autograd_jacobian(make_flow: FlowMaker, kind: dict[str, int]) -> None:
    flow = make_flow(**kind)
    image, labels = random_images(flow, rows=1), LABELS[:1] if flow.config.num_classes else None
    derivatives = jacobian(lambda values: flow(values.view_as(image), labels)[0].flatten(), image.flatten())
    torch.testing.assert_close(flow(image, labels)[1][0], torch.linalg.slogdet(derivatives).logabsdet)


def test_a_volume_preserving_flow_has_log_det_zero(make_flow: FlowMaker) -> None:
    flow = make_flow(volume_preserving=True)
    assert flow(random_images(flow), LABELS)[1].tolist() == [0, 0, 0]


def test_a_flow_with_zero_output_is_the_identity(identity_flow: TarFlow) -> None:
    images = random_images(identity_flow)
    assert torch.equal(identity_flow.unpatchify(identity_flow(images, LABELS)[0]), images)


def test_a_flow_with_zero_output_has_the_normal_density_in_closed_form(identity_flow: TarFlow) -> None:
    images = random_images(identity_flow)
    normal = [-0.5 * sum(value**2 + math.log(2 * math.pi) for value in image.flatten().tolist()) for image in images]
    torch.testing.assert_close(identity_flow.log_prob(images, LABELS), torch.tensor(normal, dtype=torch.float64))


def test_the_prior_of_a_volume_preserving_flow_has_its_variance(make_flow: FlowMaker) -> None:
    flow = make_flow(volume_preserving=True)
    latents = flow.patchify(random_images(flow))
    expected = torch.distributions.Normal(torch.zeros_like(flow.var), flow.var.sqrt()).log_prob(latents)
    torch.testing.assert_close(flow.log_prior(latents), expected.sum(dim=(1, 2)))


def test_the_log_prob_of_a_row_does_not_depend_on_its_neighbours(make_flow: FlowMaker) -> None:
    flow = make_flow()
    images = random_images(flow)
    alone = [flow.log_prob(images[row : row + 1], LABELS[row : row + 1]) for row in range(len(LABELS))]
    torch.testing.assert_close(flow.log_prob(images, LABELS), torch.cat(alone), rtol=1e-12, atol=0)


def test_the_log_dets_of_the_patches_sum_to_that_of_the_image(make_flow: FlowMaker) -> None:
    flow = make_flow()
    images = random_images(flow)
    log_abs_dets = flow.encode(images, LABELS)[1]
    assert log_abs_dets.shape == (len(LABELS), flow.config.blocks, flow.config.patches)
    torch.testing.assert_close(log_abs_dets.sum(dim=(1, 2)), flow(images, LABELS)[1])


def test_the_log_det_of_a_patch_stands_at_its_place_in_the_image(make_flow: FlowMaker) -> None:
    flow = make_flow()
    unmoved = flow.encode(random_images(flow), LABELS)[1] == 0
    assert torch.nonzero(unmoved[0]).tolist() == [[0, 0], [1, flow.config.patches - 1]]


def test_the_gradient_of_the_log_prob_reaches_every_parameter(make_flow: FlowMaker) -> None:
    flow = make_flow()
    flow.log_prob(random_images(flow), torch.tensor([0, 1, 2])).sum().backward()
    assert [name for name, weight in flow.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_no_class_is_the_mean_of_the_class_embeddings(make_flow: FlowMaker) -> None:
    flow = make_flow()
    images, mean = random_images(flow), make_flow()
    mean.load_state_dict(flow.state_dict())
    with torch.no_grad():
        for block in mean.blocks:
            block.class_embed.copy_(block.class_embed.sum(dim=0) / flow.config.num_classes)
    torch.testing.assert_close(flow.log_prob(images, torch.full((3,), -1)), mean.log_prob(images, LABELS.clamp(min=0)))


def test_no_labels_are_no_class_for_every_row(make_flow: FlowMaker) -> None:
    flow = make_flow()
    images = random_images(flow)
    assert torch.equal(flow.log_prob(images), flow.log_prob(images, torch.full((3,), -1)))


def test_each_class_has_a_density_of_its_own(make_flow: FlowMaker) -> None:
    flow = make_flow()
    image = random_images(flow, rows=1).expand(4, -1, -1, -1)
    assert len(set(flow.log_prob(image, torch.tensor([-1, 0, 1, 2])).tolist())) == 4


@pytest.mark.parametrize("shape", [(3, 2, 6, 5), (3, 1, 6, 6), (3, 2, 8, 8), (2, 6, 6), (3, 9, 8)])
def test_images_of_another_shape_are_refused_by_name(make_flow: FlowMaker, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"images must have shape .*, 2, 6, 6.*, got .{', '.join(map(str, shape))}.$"):
        make_flow().log_prob(torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_of_another_dtype_are_refused_by_name(make_flow: FlowMaker, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=rf"images must be torch.float64 .*{dtype}"):
        make_flow().log_prob(torch.zeros(3, 2, 6, 6, dtype=dtype))


@pytest.mark.parametrize("label", [-2, 3, 1000])
def test_a_label_out_of_range_is_refused_by_name(make_flow: FlowMaker, label: int) -> None:
    flow = make_flow()
    with pytest.raises(ValueError, match=rf"labels must lie in -1\.\.2 .*got {label}$"):
        flow.log_prob(random_images(flow), torch.tensor([0, label, 1]))


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (torch.tensor([0, 1, 2], dtype=torch.int32), r"\(3,\) torch.int32"),
        (torch.tensor([0.0, 1.0, 2.0]), r"\(3,\) torch.float32"),
        (torch.tensor([0, 1]), r"\(2,\) torch.int64"),
        (torch.tensor([[0], [1], [2]]), r"\(3, 1\) torch.int64"),
    ],
)
def test_labels_of_another_shape_or_dtype_are_refused_by_name(make_flow: FlowMaker, labels: Tensor, got: str) -> None:
    flow = make_flow()
    with pytest.raises(ValueError, match=rf"labels must be \(3,\) int64, got {got}"):
        flow.log_prob(random_images(flow), labels)
