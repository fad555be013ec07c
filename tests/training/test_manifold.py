"""Owns the laws of precision and recall: who lies in whose manifold."""

import pytest
import torch
from torch import Tensor

from training.manifold import Manifold, precision_and_recall


def cloud(count: int, centre: float = 0.0, length: int = 3) -> Tensor:
    """Features around a centre."""
    return torch.randn(count, length, generator=torch.Generator().manual_seed(0)) + centre


def line(*values: float) -> Tensor:
    """Features of one number each."""
    return torch.tensor(values).view(-1, 1)


@pytest.mark.parametrize("length", [1, 40])
def test_of_identical_sets_both_are_one(length: int) -> None:
    assert precision_and_recall(cloud(300, length=length), cloud(300, length=length)) == (1.0, 1.0)


def test_of_identical_sets_of_one_point_both_are_one() -> None:
    same = cloud(1, length=40).expand(10, 40)
    assert precision_and_recall(same, same) == (1.0, 1.0)


def test_of_disjoint_sets_both_are_zero() -> None:
    assert precision_and_recall(cloud(300), cloud(300, centre=100)) == (0.0, 0.0)


def test_samples_of_one_mode_of_two_are_precise_and_recall_half() -> None:
    reference = torch.cat([cloud(50), cloud(50, centre=100)])
    assert precision_and_recall(cloud(50), reference) == (1.0, 0.5)


def test_samples_of_a_mode_too_many_recall_all_and_half_are_precise() -> None:
    samples = torch.cat([cloud(50), cloud(50, centre=100)])
    assert precision_and_recall(samples, cloud(50)) == (0.5, 1.0)


def test_a_ball_reaches_to_the_neighbour_asked_for() -> None:
    assert Manifold.of(line(0, 1, 3, 7), neighbours=2).radii.tolist() == [3, 2, 3, 6]


@pytest.mark.parametrize(("value", "inside"), [(-1, 1.0), (-1.01, 0.0), (2.5, 0.0), (5, 1.0), (11, 1.0), (11.01, 0.0)])
def test_a_ball_ends_at_its_radius(value: float, inside: float) -> None:
    # Balls of neighbours 1: [-1, 1], [0, 2], [5, 9] and [7, 11].
    manifold = Manifold.of(line(0, 1, 7, 9), neighbours=1)
    assert manifold.share_inside(line(value)) == inside


def test_more_features_than_a_chunk_give_the_same() -> None:
    many = cloud(700)
    whole = torch.cdist(many.double(), many.double(), compute_mode="donot_use_mm_for_euclid_dist")
    torch.testing.assert_close(Manifold.of(many).radii, whole.sort(dim=1).values[:, 3], rtol=0, atol=0)


def test_too_few_samples_for_their_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match="needs more than 3 samples"):
        precision_and_recall(cloud(3), cloud(100))
