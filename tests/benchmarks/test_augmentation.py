"""Owns the laws of changed images: each is moved or mirrored as a whole, by draws of its own."""

import torch

from benchmarks.augmentation import flipped, shifted


def test_a_shift_moves_an_image_and_loses_nothing_far_from_the_edge() -> None:
    image = torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    image[:, :, 10:12, 13] = 200
    moved = shifted(image, 2)
    assert moved.shape == image.shape
    assert set(moved.flatten(1).count_nonzero(dim=1).tolist()) == {2}
    assert len({tuple(part.flatten().tolist()) for part in moved}) > 10


def test_an_image_goes_no_farther_than_it_may() -> None:
    image = torch.zeros(200, 1, 16, 16, dtype=torch.uint8)
    image[:, :, 8, 8] = 1
    places = shifted(image, 3).nonzero()[:, 2:]
    assert places.min() == 8 - 3
    assert places.max() == 8 + 3


def test_the_channels_of_an_image_move_together() -> None:
    image = torch.randint(256, (20, 1, 16, 16), dtype=torch.uint8).expand(-1, 3, -1, -1)
    moved = shifted(image, 4)
    assert torch.equal(moved, moved[:, :1].expand(-1, 3, -1, -1))


def test_what_an_image_leaves_is_black() -> None:
    moved = shifted(torch.full((200, 3, 16, 16), 9, dtype=torch.uint8), 4)
    assert set(moved.unique().tolist()) == {0, 9}


def test_about_half_of_the_images_are_mirrored_and_the_others_left() -> None:
    pixels = torch.arange(16, dtype=torch.uint8).expand(1000, 3, 16, 16)
    found = flipped(pixels)
    mirrored = [torch.equal(after, before.flip(2)) for before, after in zip(pixels, found, strict=True)]
    left = [torch.equal(after, before) for before, after in zip(pixels, found, strict=True)]
    assert [a != b for a, b in zip(mirrored, left, strict=True)] == [True] * 1000
    assert 400 < sum(mirrored) < 600
