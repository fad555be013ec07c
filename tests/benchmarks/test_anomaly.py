"""Laws of the anomaly benchmark: its figures are what they are called, its foreign sets what they say."""

import math

import pytest
import torch

from benchmarks.anomaly import auroc, false_positive_rate, interval
from benchmarks.foreign_images import CHANGES

OWN = torch.randint(256, (6, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def generator() -> torch.Generator:
    """A generator in a known state."""
    return torch.Generator().manual_seed(1)


def test_numbers_that_are_always_higher_have_the_whole_area() -> None:
    assert auroc(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])) == 1


def test_equal_numbers_have_half_the_area() -> None:
    assert auroc(torch.ones(3), torch.ones(5)) == 0.5


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    # Of the six pairs, (1, 0) and (3, 0), (3, 2) are the wrong way round.
    assert auroc(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0, 4.0])) == pytest.approx(3 / 6)


def test_false_positives_are_counted_where_most_foreign_images_are_found() -> None:
    foreign = torch.arange(100.0)  # 95 of them are 5 or more
    assert false_positive_rate(torch.tensor([4.0, 5.0, 6.0, 0.0]), foreign) == 0.5


def test_the_interval_holds_ninety_nine_of_a_hundred_binomial_shares() -> None:
    low, high = interval(0.05, 4000)
    shares = torch.binomial(torch.full((20_000,), 4000.0), torch.full((20_000,), 0.05), generator=generator()) / 4000
    assert ((shares >= low) & (shares <= high)).double().mean().item() == pytest.approx(0.99, abs=0.003)


@pytest.mark.parametrize("name", CHANGES)
def test_a_foreign_set_has_the_shape_of_its_origin(name: str) -> None:
    made = CHANGES[name](OWN, generator())
    assert (made.shape, made.dtype) == (OWN.shape, torch.uint8)


@pytest.mark.parametrize("name", CHANGES)
def test_a_foreign_set_is_a_function_of_the_seed(name: str) -> None:
    assert CHANGES[name](OWN, generator()).equal(CHANGES[name](OWN, generator()))


@pytest.mark.parametrize("name", CHANGES)
def test_no_foreign_image_is_its_origin(name: str) -> None:
    changed = CHANGES[name](OWN, generator()) != OWN
    assert changed.flatten(1).any(dim=1).all()


@pytest.mark.parametrize("name", ["rotated", "shuffled", "mirrored", "upside down"])
def test_moving_pixels_keeps_each_of_them(name: str) -> None:
    made = CHANGES[name](OWN, generator())
    assert made.flatten(1).sort().values.equal(OWN.flatten(1).sort().values)


@pytest.mark.parametrize(("name", "level"), [("occluded", 128), ("erased", 0)])
def test_one_square_is_covered(name: str, level: int) -> None:
    changed = (CHANGES[name](OWN, generator()) != OWN)[:, 0]
    for covered, image in zip(changed, CHANGES[name](OWN, generator()), strict=True):
        rows, columns = (torch.nonzero(covered.any(dim=side)).flatten() for side in (1, 0))
        inside = image[0, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert inside.eq(level).all()
        assert math.prod(inside.shape) >= 49
