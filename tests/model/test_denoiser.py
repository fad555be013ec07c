"""Owns the laws of the denoising step: Tweedie's formula, row by row, without side effects."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model import TarFlow, denoise
from model.memory import score_bytes
from tests.model.peak_memory import PeakMemory

FlowMaker = Callable[..., TarFlow]
LABELS = torch.tensor([0, 2, -1])


@pytest.fixture
def images() -> Tensor:
    """Three images of a tiny flow's size."""
    return torch.randn(3, 2, 6, 6, dtype=torch.float64)


@pytest.mark.parametrize("noise_std", [0.0, 0.1, 0.5])
def test_denoising_under_a_standard_normal_shrinks_by_the_noise_variance(
    identity_flow: TarFlow, images: Tensor, noise_std: float
) -> None:
    shrunk = images * (1 - noise_std**2)
    torch.testing.assert_close(denoise(identity_flow, images, LABELS, noise_std), shrunk, rtol=0, atol=1e-12)


def test_the_noise_taken_away_is_by_default_that_of_training(make_flow: FlowMaker, images: Tensor) -> None:
    flow = make_flow(noise_std=0.2)
    assert torch.equal(denoise(flow, images, LABELS), denoise(flow, images, LABELS, noise_std=0.2))


def test_denoising_climbs_the_log_prob_of_the_label(make_flow: FlowMaker, images: Tensor) -> None:
    flow, shift = make_flow(), 1e-5
    direction = torch.randn_like(images)
    ahead, behind = (flow.log_prob(images + sign * shift * direction, LABELS) for sign in (1, -1))
    moved = (denoise(flow, images, LABELS, noise_std=1.0) - images) * direction
    torch.testing.assert_close(moved.sum(dim=(1, 2, 3)), (ahead - behind) / (2 * shift), rtol=1e-5, atol=1e-6)


def test_a_denoised_row_does_not_depend_on_its_neighbours(make_flow: FlowMaker, images: Tensor) -> None:
    flow = make_flow()
    alone = [denoise(flow, images[row : row + 1], LABELS[row : row + 1]) for row in range(len(LABELS))]
    torch.testing.assert_close(denoise(flow, images, LABELS), torch.cat(alone), rtol=0, atol=1e-12)


def test_a_flow_trained_with_uniform_noise_must_be_told_the_noise(make_flow: FlowMaker, images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"noise_std must be given: .*uniform"):
        denoise(make_flow(noise_type="uniform"), images)


def test_a_flow_trained_with_uniform_noise_denoises_when_told_the_noise(make_flow: FlowMaker, images: Tensor) -> None:
    uniform, gaussian = make_flow(noise_type="uniform"), make_flow()
    uniform.load_state_dict(gaussian.state_dict())
    assert torch.equal(denoise(uniform, images, LABELS, 0.1), denoise(gaussian, images, LABELS, 0.1))


def test_denoising_is_the_same_under_no_grad(make_flow: FlowMaker, images: Tensor) -> None:
    flow = make_flow()
    with torch.no_grad():
        without = denoise(flow, images, LABELS)
    assert torch.equal(without, denoise(flow, images, LABELS))


def test_denoising_within_inference_mode_is_refused(make_flow: FlowMaker, images: Tensor) -> None:
    with torch.inference_mode(), pytest.raises(ValueError, match="denoise needs gradients"):
        denoise(make_flow(), images, LABELS)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16])
def test_images_of_another_type_are_refused(make_flow: FlowMaker, images: Tensor, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"images must be torch\.float64 in \[-1, 1\], got torch\."):
        denoise(make_flow(), images.to(dtype), LABELS)


def test_denoising_leaves_no_gradient_on_the_weights(make_flow: FlowMaker, images: Tensor) -> None:
    flow = make_flow()
    denoise(flow, images, LABELS)
    assert [name for name, weight in flow.named_parameters() if weight.grad is not None] == []


@pytest.mark.parametrize("noise_std", [0.0, 0.1])
def test_a_denoised_image_carries_no_graph(make_flow: FlowMaker, images: Tensor, noise_std: float) -> None:
    assert not denoise(make_flow(), images.requires_grad_(), LABELS, noise_std).requires_grad


def test_denoising_leaves_the_images_it_was_given_as_they_were(make_flow: FlowMaker, images: Tensor) -> None:
    before = images.clone()
    denoise(make_flow(), images, LABELS)
    assert torch.equal(images, before)


@pytest.mark.parametrize("noise_std", [-0.1, torch.nan, torch.inf])
def test_denoising_refuses_a_noise_std_out_of_range(make_flow: FlowMaker, images: Tensor, noise_std: float) -> None:
    with pytest.raises(ValueError, match=f"noise_std must be finite and at least 0, got {noise_std}"):
        denoise(make_flow(), images, LABELS, noise_std)


@pytest.mark.parametrize("noise_std", [0.0, 0.1])
def test_denoising_refuses_images_of_another_shape(make_flow: FlowMaker, noise_std: float) -> None:
    with pytest.raises(ValueError, match=r"images must have shape \(N, 2, 6, 6\), got \(3, 2, 5, 5\)"):
        denoise(make_flow(), torch.zeros(3, 2, 5, 5, dtype=torch.float64), noise_std=noise_std)


@pytest.mark.parametrize("share", [0.5, 1, 2], ids=["recomputed", "one by one", "by twos"])
@pytest.mark.parametrize("labels", [LABELS, None], ids=["classes", "no classes"])
def test_denoising_in_chunks_is_denoising_at_once(
    make_flow: FlowMaker, images: Tensor, monkeypatch: pytest.MonkeyPatch, share: float, labels: Tensor | None
) -> None:
    flow = make_flow()
    at_once = denoise(flow, images, labels)
    monkeypatch.setattr("model.denoiser.CHUNK_BYTES", int(share * score_bytes(flow.config, 1, itemsize=8)))
    torch.testing.assert_close(denoise(flow, images, labels), at_once, rtol=0, atol=1e-12)


def test_denoising_takes_no_more_memory_than_a_chunk_may(make_flow: FlowMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    flow, images = make_flow().requires_grad_(False), torch.randn(24, 2, 6, 6, dtype=torch.float64)
    chunk_bytes = score_bytes(flow.config, 4, itemsize=8)
    monkeypatch.setattr("model.denoiser.CHUNK_BYTES", chunk_bytes)
    with PeakMemory() as memory:
        denoise(flow, images)
    results = 2 * images.nbytes  # The scores, and the images moved along them.
    assert memory.peak_bytes <= 1.1 * chunk_bytes + results


def test_an_image_too_large_for_a_chunk_is_denoised_in_less_memory_than_it_would_take(
    make_flow: FlowMaker, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = make_flow(blocks=4).requires_grad_(False)
    each = score_bytes(flow.config, 1, itemsize=8)
    monkeypatch.setattr("model.denoiser.CHUNK_BYTES", each - 1)
    with PeakMemory() as memory:
        denoise(flow, images)
    assert memory.peak_bytes < each / 2


def test_denoising_none_gives_none(make_flow: FlowMaker, images: Tensor) -> None:
    assert denoise(make_flow(), images[:0], LABELS[:0]).shape == (0, 2, 6, 6)
