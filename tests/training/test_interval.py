"""Owns the laws of the two confidence intervals."""

import pytest
import torch

from training.interval import mean_interval, share_interval


def test_the_interval_of_a_mean_is_the_closed_form() -> None:
    # Mean 2, standard deviation 2, four values: 2 +- 1.96 * 2 / 2.
    values = torch.tensor([2 - 3**0.5, 2 - 3**0.5, 2 + 3**0.5, 2 + 3**0.5], dtype=torch.float64)
    assert mean_interval(values) == pytest.approx((2 - 1.959964, 2 + 1.959964))


def test_a_single_value_has_no_interval() -> None:
    assert mean_interval(torch.ones(1)) is None


def test_the_interval_of_a_mean_covers_it_95_times_in_100() -> None:
    draws = torch.randn(4000, 50, generator=torch.Generator().manual_seed(0))
    intervals = [mean_interval(values) for values in draws]
    covered = sum(found[0] <= 0 <= found[1] for found in intervals if found)
    assert covered / 4000 == pytest.approx(0.945, abs=0.012)  # a little below, for 50 values are not many


@pytest.mark.parametrize(
    ("hits", "trials", "expected"),
    [(8, 10, (0.4901625, 0.9433178)), (0, 10, (0.0, 0.2775328)), (10, 10, (0.7224672, 1.0)), (1, 1, (0.2065493, 1.0))],
)
def test_the_interval_of_a_share_is_wilsons(hits: int, trials: int, expected: tuple[float, float]) -> None:
    # Brown, Cai and DasGupta, Statistical Science 16 (2001), equation (4).
    assert share_interval(hits, trials) == pytest.approx(expected, abs=1e-6)
