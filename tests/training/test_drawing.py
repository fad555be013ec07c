"""Owns the laws of drawing samples: image i is made from seed + i alone, under its own label."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from model import TarFlow, TarFlowConfig, denoise, sample
from model.card import SamplingDefaults
from model.pixels import to_pixels
from tests.training.conftest import TINY
from training.drawing import Drawing, labels_like
from training.sample_sheet import class_samples

FlowMaker = Callable[..., TarFlow]
LABELS = torch.tensor([0, 1, 1, 0, 1])


def drawn(flow: TarFlow, labels: Tensor = LABELS, batch_size: int = 5, seed: int = 0) -> Tensor:
    """All images of a drawing without guidance."""
    return torch.cat(list(Drawing(flow, SamplingDefaults(), "sequential", seed).batches(labels, batch_size)))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_batch_size_changes_no_image(make_shifting_flow: FlowMaker, batch_size: int) -> None:
    flow = make_shifting_flow(-0.2, 0.2, noise_std=0.1)
    torch.testing.assert_close(drawn(flow, batch_size=batch_size), drawn(flow), rtol=0, atol=1e-6)


def test_image_i_is_made_from_the_seed_plus_i(make_shifting_flow: FlowMaker) -> None:
    flow = make_shifting_flow(-0.2, 0.2)
    torch.testing.assert_close(drawn(flow, LABELS[2:], seed=2), drawn(flow)[2:], rtol=0, atol=1e-6)


def test_two_images_of_a_class_are_not_the_same(make_shifting_flow: FlowMaker) -> None:
    images = drawn(make_shifting_flow(-0.2, 0.2), torch.zeros(2, dtype=torch.int64))
    assert not torch.equal(images[0], images[1])


def test_each_image_is_under_its_own_label(make_shifting_flow: FlowMaker) -> None:
    # All patches but the first are the noise plus the level of the class.
    flow, plain = (
        make_shifting_flow(-0.2, 0.2, noise_type="uniform"),
        make_shifting_flow(0.0, 0.0, noise_type="uniform"),
    )
    moved = (drawn(flow) - drawn(plain))[:, 0, 4:]
    inside = drawn(plain)[:, 0, 4:].abs() < 0.8
    for image, label, kept in zip(moved, LABELS, inside, strict=True):
        torch.testing.assert_close(image[kept], torch.full_like(image[kept], (-0.2, 0.2)[label]))


@pytest.fixture
def busy_flow() -> TarFlow:
    """A flow of two classes none of whose weights is zero, so that everything a card says counts."""
    flow = TarFlow(TarFlowConfig(**TINY, num_classes=2, noise_std=0.3))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in flow.named_parameters():
            size = 0.02 if "proj_out" in name else 0.5  # strong attention, and no scale that runs away
            weight.copy_(size * torch.randn(weight.shape, generator=generator))
    return flow.eval()


def noise_of(flow: TarFlow, seed: int = 0) -> Tensor:
    """The noise of the first image of a seed, (1, T, D)."""
    shape = (flow.config.patches, flow.config.patch_dims)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))[None]


PLAIN = SamplingDefaults(guidance=1.0, denoise=False)


@pytest.mark.parametrize("change", [{"annealed": True}, {"attention_temperature": 0.2}, {"guidance": 0.0}])
def test_images_are_sampled_as_the_card_says(busy_flow: TarFlow, change: dict[str, Any]) -> None:
    label, sampling = torch.tensor([1]), replace(PLAIN, **change)
    (image,), (other,) = (next(Drawing(busy_flow, each).batches(label, 1)) for each in (sampling, PLAIN))
    told = {"guidance": 1.0, "annealed": False, "attention_temperature": 1.0} | change
    expected = sample(busy_flow, noise_of(busy_flow), label, **told).clamp(-1, 1)[0]
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)
    assert not torch.equal(image, other)


@pytest.mark.parametrize("wanted", [True, False])
def test_images_are_denoised_where_the_card_says_so(busy_flow: TarFlow, wanted: bool) -> None:
    label = torch.tensor([0])
    noisy = sample(busy_flow, noise_of(busy_flow), label, guidance=0.0)
    expected = denoise(busy_flow, noisy, label) if wanted else noisy
    (image,) = next(Drawing(busy_flow, SamplingDefaults(denoise=wanted)).batches(label, 1))
    torch.testing.assert_close(image, expected.clamp(-1, 1)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("change", [{"annealed": True}, {"attention_temperature": 0.2}, {"denoise": True}])
def test_a_sheet_is_sampled_as_the_card_says(busy_flow: TarFlow, change: dict[str, Any]) -> None:
    label, sampling = torch.tensor([1]), replace(PLAIN, **change)
    (drawn,) = next(Drawing(busy_flow, sampling).batches(label, 1))
    torch.testing.assert_close(class_samples(busy_flow, label, sampling)[0], to_pixels(drawn, busy_flow.config))
    assert not torch.equal(class_samples(busy_flow, label, sampling), class_samples(busy_flow, label, PLAIN))


@pytest.mark.parametrize(("temperature", "guidance"), [(1.0, 0.0), (0.5, 2.0)])
def test_guidance_that_has_nothing_to_guide_by_is_none(
    make_shifting_flow: FlowMaker, temperature: float, guidance: float
) -> None:
    sampling = SamplingDefaults(guidance=2.0, attention_temperature=temperature)
    assert Drawing(make_shifting_flow(), sampling).guidance == guidance


def test_images_end_at_black_and_white(make_shifting_flow: FlowMaker) -> None:
    images = drawn(make_shifting_flow(5.0, -5.0))
    assert (images.min().item(), images.max().item()) == (-1, 1)


def test_images_that_are_not_finite_are_refused_by_their_guidance(make_shifting_flow: FlowMaker) -> None:
    flow = make_shifting_flow(0.0, float("inf"))
    with pytest.raises(ValueError, match="3 of 5 samples are not finite: lower --guidance 0"):
        drawn(flow)


def test_labels_come_in_the_proportions_of_the_data() -> None:
    labels = labels_like(torch.tensor([0] * 30 + [1] * 10), 80, seed=3)
    assert torch.bincount(labels).tolist() == [60, 20]


def test_labels_are_shuffled_by_the_seed_alone() -> None:
    given = torch.arange(100)
    assert torch.equal(labels_like(given, 50, seed=3), labels_like(given, 50, seed=3))
    assert not torch.equal(labels_like(given, 50, seed=3), labels_like(given, 50, seed=4))
