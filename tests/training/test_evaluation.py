"""Owns the laws of evaluation: flows with densities in closed form get the figures they must."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model import TarFlow
from model.class_likelihoods import class_log_probs
from training.evaluation import evaluate
from training.image_folder import ImageFolder

FlowMaker = Callable[..., TarFlow]
DARK, LIGHT = 64, 191  # grey levels: -0.5 and 0.5 to within half a level
LOG_2_PI = math.log(2 * math.pi)


def grey(*levels: int, side: int = 8) -> ImageFolder:
    """Images of one grey level each; the level's place is the label."""
    pixels = torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, side, side).contiguous()
    return ImageFolder(pixels, torch.arange(len(levels)), tuple(map(str, levels)), ())


def bits(nats_per_dim: float) -> float:
    """Bits per dim of a density over [-1, 1], read over 256 grey levels."""
    return (nats_per_dim + math.log(128)) / math.log(2)


def test_bits_per_dim_under_gaussian_noise_is_the_closed_form(make_shifting_flow: FlowMaker) -> None:
    flow = make_shifting_flow(noise_std=0.3)
    found = evaluate(flow, grey(*[DARK] * 400))
    expected = bits(0.5 * ((DARK / 127.5 - 1) ** 2 + 0.3**2 + LOG_2_PI))
    assert found.bits_per_dim_standard_error is not None
    assert found.bits_per_dim == pytest.approx(expected, abs=4 * found.bits_per_dim_standard_error)


def test_the_standard_error_is_the_closed_form(make_shifting_flow: FlowMaker) -> None:
    # Of black images the energy is (s e - 1)^2 a value, of variance 4 s^2 + 2 s^4.
    found = evaluate(make_shifting_flow(noise_std=0.3), grey(*[0] * 2000))
    deviation = 0.5 * (4 * 0.3**2 + 2 * 0.3**4) ** 0.5 / 8 / math.log(2)
    assert found.bits_per_dim_standard_error == pytest.approx(deviation / 2000**0.5, rel=0.1)


def test_bits_per_dim_under_uniform_noise_is_the_closed_form(make_shifting_flow: FlowMaker) -> None:
    found = evaluate(make_shifting_flow(noise_type="uniform"), grey(*[DARK] * 400))
    middle = (DARK + 0.5) / 128 - 1
    expected = bits(0.5 * (middle**2 + 1 / (12 * 128**2) + LOG_2_PI))
    assert found.bits_per_dim_standard_error is not None
    assert found.bits_per_dim == pytest.approx(expected, abs=4 * found.bits_per_dim_standard_error + 1e-6)


def test_bits_per_dim_are_under_the_images_own_class(make_shifting_flow: FlowMaker) -> None:
    # Both shifts take their class to 0: all patches but the first, which no block moves, are standard normal there.
    flow = make_shifting_flow(DARK / 127.5 - 1, LIGHT / 127.5 - 1)
    found = evaluate(flow, grey(DARK, LIGHT))
    first = ((DARK / 127.5 - 1) ** 2 + (LIGHT / 127.5 - 1) ** 2) / 2
    assert found.bits_per_dim == pytest.approx(bits(0.5 * (first / 4 + LOG_2_PI)), rel=1e-5)


def test_a_flow_that_knows_its_classes_has_bayes_accuracy_one(make_shifting_flow: FlowMaker) -> None:
    assert evaluate(make_shifting_flow(-0.5, 0.5), grey(DARK, LIGHT)).bayes_accuracy == 1.0


def test_a_flow_that_swaps_its_classes_has_bayes_accuracy_zero(make_shifting_flow: FlowMaker) -> None:
    assert evaluate(make_shifting_flow(0.5, -0.5), grey(DARK, LIGHT)).bayes_accuracy == 0.0


def test_bayes_accuracy_is_the_share_of_images_right(make_shifting_flow: FlowMaker) -> None:
    data = ImageFolder(grey(DARK, DARK, DARK, LIGHT).pixels, torch.tensor([0, 0, 1, 1]), ("dark", "light"), ())
    assert evaluate(make_shifting_flow(-0.5, 0.5), data).bayes_accuracy == 0.75


def test_class_log_probs_are_the_closed_form(make_shifting_flow: FlowMaker) -> None:
    levels = (-0.5, 0.0, 0.5)
    images = torch.full((2, 1, 8, 8), 0.25)
    expected: Tensor = torch.tensor([-0.5 * (16 * 0.25**2 + 48 * (0.25 - c) ** 2 + 64 * LOG_2_PI) for c in levels])
    torch.testing.assert_close(class_log_probs(make_shifting_flow(*levels), images), expected.expand(2, 3))


def test_a_flow_without_classes_has_no_bayes_accuracy(make_shifting_flow: FlowMaker) -> None:
    assert evaluate(make_shifting_flow(), grey(DARK, LIGHT)).bayes_accuracy is None


@pytest.mark.parametrize(("noise_type", "comparable"), [("uniform", True), ("gaussian", False)])
def test_only_a_dequantised_density_is_comparable_with_papers(
    make_shifting_flow: FlowMaker, noise_type: str, comparable: bool
) -> None:
    found = evaluate(make_shifting_flow(noise_type=noise_type), grey(DARK, LIGHT))
    assert found.comparable_with_papers is comparable


def test_the_density_is_named(make_shifting_flow: FlowMaker) -> None:
    assert evaluate(make_shifting_flow(noise_std=0.25), grey(DARK, LIGHT)).density == (
        "noise-smoothed: image + Gaussian noise of standard deviation 0.25"
    )


def test_a_seed_gives_the_same_figures_again(make_shifting_flow: FlowMaker) -> None:
    flow = make_shifting_flow(noise_std=0.3)
    first, second = (evaluate(flow, grey(DARK, LIGHT), seed=5).bits_per_dim for _ in range(2))
    assert first == second


def test_another_seed_gives_other_figures(make_shifting_flow: FlowMaker) -> None:
    flow = make_shifting_flow(noise_std=0.3)
    first, second = (evaluate(flow, grey(DARK, LIGHT), seed=seed).bits_per_dim for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize("noise_type", ["gaussian", "uniform"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_batch_size_changes_no_figure(make_shifting_flow: FlowMaker, noise_type: str, batch_size: int) -> None:
    # 36 values an image: torch draws 16 at a time, so that the draws of a batch are not those of its images.
    flow = make_shifting_flow(image_size=6, patch_size=3, noise_std=0.3, noise_type=noise_type)
    data = grey(*range(0, 250, 50), side=6)
    parts, whole = (evaluate(flow, data, size).bits_per_dim for size in (batch_size, 100))
    assert parts == pytest.approx(whole, rel=1e-6)


def test_a_single_image_has_no_standard_error(make_shifting_flow: FlowMaker) -> None:
    assert evaluate(make_shifting_flow(), grey(DARK)).bits_per_dim_standard_error is None
