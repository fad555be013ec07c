"""Laws of warping: a little, each image in its own way, some not at all, and the same again from the same generator."""

import torch
from torch import Tensor

from training.warp import MOST_SHIFT, warped

SIDE = 32


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spots(count: int) -> Tensor:
    """Images (count, 1, SIDE, SIDE), black but for a smooth white spot in the middle."""
    away = (torch.arange(SIDE) - (SIDE - 1) / 2) ** 2
    return (-(away[:, None] + away[None, :]) / 18).exp().expand(count, 1, SIDE, SIDE) * 2 - 1


def centres(images: Tensor) -> Tensor:
    """(N, 2): where the light of images is, in pixels from the middle."""
    light = (images + 1)[:, 0]
    places = torch.arange(SIDE) - (SIDE - 1) / 2
    sides = torch.stack((light.sum(1) @ places, light.sum(2) @ places), dim=1)
    return sides / light.sum((1, 2))[:, None]


def test_the_middle_moves_every_way_and_hardly_beyond_the_bound() -> None:
    moved = centres(warped(spots(500), generator())) / SIDE
    # The shift is turned, stretched and slanted with the image.
    assert (moved.abs().amax(dim=0) <= 1.4 * MOST_SHIFT).all()
    assert (moved.amax(dim=0) > 0.8 * MOST_SHIFT).all()
    assert (moved.amin(dim=0) < -0.8 * MOST_SHIFT).all()


def test_some_are_left_as_they_are_and_no_two_others_alike() -> None:
    images = spots(500)
    found = warped(images, generator())
    alone = (found == images).flatten(1).all(dim=1)
    assert 0.2 < alone.float().mean() < 0.4
    assert len(found[~alone].flatten(1).unique(dim=0)) == int((~alone).sum())


def test_a_ground_of_one_grey_stays_as_it_is_to_the_edge() -> None:
    images = torch.full((100, 3, 8, 8), 0.5)
    torch.testing.assert_close(warped(images, generator()), images)


def test_the_generator_decides_alone() -> None:
    images = spots(20)
    assert torch.equal(warped(images, generator(1)), warped(images, generator(1)))
    assert not torch.equal(warped(images, generator(1)), warped(images, generator(2)))
