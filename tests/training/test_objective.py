"""Owns the laws of the loss: what the classes add to it is what Bayes' rule makes of the flow's own likelihoods."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model import TarFlow, TarFlowConfig
from training.objective import ASKED, LEARNED, MAX_CLASSES, Objective
from training.throughput import training_flops

WEIGHT = 0.5
IMAGES = torch.rand(32, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1
LABELS = torch.arange(32) % 3
HARDEST = round(LEARNED * 32)


def config_of(num_classes: int) -> TarFlowConfig:
    return TarFlowConfig(
        image_size=8, patch_size=4, channels=16, blocks=2, layers_per_block=1, in_channels=1, head_dim=16,
        num_classes=num_classes, noise_std=0.1,
    )  # fmt: skip


@pytest.fixture
def flow() -> TarFlow:
    """A flow of three classes that tells them apart, at random."""
    torch.manual_seed(0)
    flow = TarFlow(config_of(3)).double()
    for weight in flow.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return flow


def wrong_nats(flow: TarFlow) -> Tensor:
    """-log p(c|x) of every image."""
    classes = [flow.standard_log_prob(IMAGES, torch.full_like(LABELS, index)) for index in range(3)]
    return F.cross_entropy(torch.stack(classes, dim=1), LABELS, reduction="none")


def test_where_none_is_asked_the_loss_is_minus_the_mean_log_likelihood_per_dim(flow: TarFlow) -> None:
    expected = -flow.standard_log_prob(IMAGES, LABELS).mean().item() / 64
    assert Objective(flow)(IMAGES, LABELS).tolist() == pytest.approx([expected, 0.0])


def test_the_classes_add_the_weighted_surprise_of_the_hardest_images_asked_about(flow: TarFlow) -> None:
    plain = Objective(flow)(IMAGES[:8], LABELS[:8])[0].item()
    loss, of_classes = Objective(flow, WEIGHT)(IMAGES[:8], LABELS[:8], IMAGES, LABELS).tolist()
    assert of_classes == pytest.approx(WEIGHT * wrong_nats(flow).topk(HARDEST).values.sum().item() / 32)
    assert loss == pytest.approx(plain + of_classes)


def test_a_step_down_the_gradient_of_the_classes_makes_the_right_ones_likelier(flow: TarFlow) -> None:
    objective = Objective(flow, WEIGHT)
    before = wrong_nats(flow).sum().item()
    objective(IMAGES, LABELS, IMAGES, LABELS)[1].backward()
    torch.optim.SGD(flow.parameters(), lr=1e-5).step()
    assert wrong_nats(flow).sum().item() < before


@pytest.mark.parametrize("num_classes", [0, 1, MAX_CLASSES + 1])
def test_classes_that_cannot_be_weighed_are_refused_with_the_bounds(num_classes: int) -> None:
    with pytest.raises(ValueError, match=rf"--class-weight is for 2..{MAX_CLASSES} classes, there are {num_classes}"):
        Objective(TarFlow(config_of(num_classes)), WEIGHT)


def test_what_the_classes_cost_counts_as_training() -> None:
    config = config_of(3)
    forward = training_flops(config) / 3
    asked, learned = ASKED * 3, 3 * ASKED * LEARNED * 3
    assert training_flops(config, with_classes=True) == pytest.approx((3 + asked + learned) * forward)
