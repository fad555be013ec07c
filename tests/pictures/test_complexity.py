"""Owns the laws of complexity: it grows from one colour to noise, and knows nothing but the pixels."""

import random
import re

import pytest
from PIL import Image

from pictures.complexity import complexity_bits_per_dim, encoder, probe_lengths
from pictures.fitting import Shape

SHAPES = [Shape(8, 1), Shape(28, 1), Shape(28, 3), Shape(64, 3)]


def size(shape: Shape) -> int:
    """Values of a picture."""
    return shape.channels * shape.side**2


def stripes(shape: Shape) -> bytes:
    """A picture of a few colours in no order."""
    return bytes(random.Random(0).choices((0, 128, 255), k=size(shape)))


def noise(shape: Shape) -> bytes:
    """A picture of nothing."""
    return random.Random(0).randbytes(size(shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_one_colour_is_the_least_complex(shape: Shape, level: int) -> None:
    found = complexity_bits_per_dim(bytes([level]) * size(shape), shape)
    assert 0 < found < complexity_bits_per_dim(stripes(shape), shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_is_the_most_complex(shape: Shape) -> None:
    found = complexity_bits_per_dim(noise(shape), shape)
    # A byte for each value, and what PNG adds to rows that it cannot shorten.
    assert complexity_bits_per_dim(stripes(shape), shape) < found
    assert found == pytest.approx(8 * (1 + 1 / (shape.side * shape.channels)), rel=0.2)


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_pixels_are_equally_complex(shape: Shape) -> None:
    assert complexity_bits_per_dim(noise(shape), shape) == complexity_bits_per_dim(noise(shape), shape)


def test_a_grey_picture_in_colours_is_less_complex_by_value() -> None:
    grey = stripes(Shape(28, 1))
    assert complexity_bits_per_dim(grey * 3, Shape(28, 3)) < complexity_bits_per_dim(grey, Shape(28, 1))


def lengths_with(level: int) -> tuple[int, ...]:
    """Lengths of the probes at another level of compression: an encoder that is another."""
    save = Image.Image.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "save", lambda image, file, kind, **_: save(image, file, kind, compress_level=level))
        return probe_lengths.__wrapped__()


def test_the_lengths_of_the_probes_are_the_encoder_s() -> None:
    assert lengths_with(9) == probe_lengths()


@pytest.mark.parametrize("level", [1, 3, 6])
def test_another_encoder_is_seen_by_the_lengths_of_the_probes(level: int) -> None:
    assert lengths_with(level) != probe_lengths()


def test_the_encoder_is_named_with_the_zlib_it_brings() -> None:
    assert re.fullmatch(r"Pillow \d\S* with zlib(-ng)? \d\S*; Python's own zlib is \d\S*", encoder())
