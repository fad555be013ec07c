"""Owns the laws of the Fréchet distance: the closed forms, and covariances that have no inverse."""

import pytest
import torch
from torch import Tensor

from training.frechet import frechet_distance, gaussian_distance, moments


def features(count: int, length: int, seed: int = 0) -> Tensor:
    """Correlated features (count, length)."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(length, length, generator=generator, dtype=torch.float64)
    return torch.randn(count, length, generator=generator, dtype=torch.float64) @ mixing


def numbers(*values: float) -> Tensor:
    """A vector in float64."""
    return torch.tensor(values, dtype=torch.float64)


def test_of_gaussians_along_the_axes_it_is_the_closed_form() -> None:
    first, second = numbers(1, 4, 9), numbers(4, 0.25, 16)
    found = gaussian_distance(numbers(0, 1, 2), first.diag(), numbers(3, 1, -2), second.diag())
    assert found == pytest.approx(9 + 16 + (1 - 2) ** 2 + (2 - 0.5) ** 2 + (3 - 4) ** 2, rel=1e-12)


def test_of_gaussians_along_different_axes_it_is_the_closed_form() -> None:
    # Of two by two matrices, tr(M^(1/2))^2 = tr M + 2 det(M)^(1/2).
    first, second = numbers(2, 1, 1, 3).view(2, 2), numbers(5, -2, -2, 1).view(2, 2)
    product = first @ second
    trace = (product.trace() + 2 * product.det().sqrt()).sqrt()
    expected = float(first.trace() + second.trace() - 2 * trace)
    assert gaussian_distance(numbers(0, 0), first, numbers(0, 0), second) == pytest.approx(expected, rel=1e-12)


def test_of_covariances_that_share_no_direction_it_is_the_sum_of_their_traces() -> None:
    first, second = numbers(4, 0, 0).diag(), numbers(0, 9, 0).diag()
    assert gaussian_distance(numbers(0, 0, 0), first, numbers(0, 0, 0), second) == pytest.approx(13, rel=1e-12)


def test_of_points_without_spread_it_is_the_distance_squared() -> None:
    assert frechet_distance(numbers(3).expand(5, 1), numbers(7).expand(9, 1)) == pytest.approx(16)


@pytest.mark.parametrize(("count", "length"), [(500, 8), (10, 64)])
def test_of_equal_sets_it_is_zero_with_fewer_samples_than_features_too(count: int, length: int) -> None:
    found = features(count, length)
    assert frechet_distance(found, found.flip(0)) == pytest.approx(0, abs=1e-6)


def test_of_a_set_moved_aside_it_is_the_way_squared() -> None:
    found = features(300, 4)
    assert frechet_distance(found, found + numbers(1, 2, 0, -2)) == pytest.approx(9, rel=1e-9)


def test_of_a_set_stretched_it_is_the_closed_form() -> None:
    # C2 = 9 C1 about the same mean: tr(C1 + 9 C1 - 2 * 3 C1) = 4 tr C1.
    found = features(300, 4)
    mean, covariance = moments(found)
    assert frechet_distance(found, mean + 3 * (found - mean)) == pytest.approx(4 * float(covariance.trace()), rel=1e-9)


def test_it_is_the_same_from_either_side() -> None:
    first, second = features(40, 16, seed=1), features(60, 16, seed=2)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-9)


def test_an_offset_that_both_share_changes_nothing() -> None:
    first, second = features(100, 4, seed=1), features(100, 4, seed=2)
    assert frechet_distance(first + 1e4, second + 1e4) == pytest.approx(frechet_distance(first, second), rel=1e-6)


def test_the_covariance_is_the_unbiased_one() -> None:
    assert moments(numbers(1, 3).view(2, 1))[1].item() == 2


def test_float32_features_lose_nothing_in_the_arithmetic() -> None:
    found = features(200, 8).float()
    assert frechet_distance(found, found * 2) == frechet_distance(found.double(), found.double() * 2)


def test_features_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length, got 3 and 4"):
        frechet_distance(features(9, 3), features(9, 4))


def test_a_single_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        frechet_distance(features(1, 3), features(9, 3))
