"""Owns the laws of heat maps: enlarged, the heat where it belongs, a bar that says what it means."""

import io
import math

import pytest
from PIL import Image

from pictures.fitting import Shape
from pictures.heat_map import BAR_WIDTH, BLACK, LEAST_SIDE, MARGIN, Heat, heat_map
from tests.pictures.seen import cell, redness, rgb, shown_side

GREY = Shape(28, 1)


def drawn(shape: Shape, heat: Heat, level: int = 128) -> Image.Image:
    """The heat over a picture of one grey."""
    png = heat_map(bytes([level]) * (shape.channels * shape.side**2), shape, heat)
    image = Image.open(io.BytesIO(png))
    image.load()
    assert (image.format, image.mode) == ("PNG", "RGB")
    return image


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (64, 3), (8, 1), (336, 3), (500, 1)])
def test_a_picture_is_enlarged_by_a_whole_factor_until_it_is_legible(side: int, channels: int) -> None:
    shown = shown_side(drawn(Shape(side, channels), Heat([0.0] * 4, (2, 2), 1.0)))
    assert shown % side == 0
    assert LEAST_SIDE <= shown < LEAST_SIDE + side


@pytest.mark.parametrize("hottest", [0, 6, 24, 42, 48])
def test_the_hottest_cell_is_the_reddest_and_at_its_place(hottest: int) -> None:
    values = [0.5] * 49
    values[hottest] = 3.0
    image = drawn(GREY, Heat(values, (7, 7), 6.0))
    reds = [redness(cell(image, index, 7)) for index in range(49)]
    assert [index for index, red in enumerate(reds) if red == max(reds)] == [hottest]


@pytest.mark.parametrize("value", [math.nan, math.inf, 7.0])
def test_what_is_beyond_the_bar_is_as_red_as_can_be(value: float) -> None:
    image = drawn(GREY, Heat([0.0, value, 6.0, 0.0], (2, 2), 6.0))
    assert cell(image, 1, 2) == cell(image, 2, 2) != cell(image, 0, 2)


def test_less_than_nothing_is_blue() -> None:
    image = drawn(GREY, Heat([-6.0, -math.inf, 0.0, 6.0], (2, 2), 6.0))
    assert redness(cell(image, 0, 2)) == redness(cell(image, 1, 2)) < 0 < redness(cell(image, 3, 2))


@pytest.mark.parametrize(("level", "shown"), [(0, BLACK), (255, 255 - BLACK)])
def test_no_heat_leaves_the_picture_in_grey(level: int, shown: int) -> None:
    assert cell(drawn(GREY, Heat([0.0] * 4, (2, 2), 6.0), level=level), 0, 2) == (shown,) * 3


@pytest.mark.parametrize("row", [0.1, 0.25, 0.9])
def test_the_bar_has_the_colours_that_lie_on_black(row: float) -> None:
    value = 6.0 * (1 - 2 * row)
    image = drawn(GREY, Heat([value] * 4, (2, 2), 6.0), level=0)
    on_bar = rgb(image, 2 * shown_side(image) + 3 * MARGIN + BAR_WIDTH // 2, MARGIN + round(row * shown_side(image)))
    assert max(map(abs, map(int.__sub__, on_bar, cell(image, 0, 2)))) <= 4


def test_the_picture_stands_beside_in_its_own_colours() -> None:
    png = heat_map(b"\x0a" * 784 + b"\x14" * 784 + b"\x1e" * 784, Shape(28, 3), Heat([9.0] * 4, (2, 2), 6.0))
    assert rgb(Image.open(io.BytesIO(png)).convert("RGB"), MARGIN + 5, MARGIN + 5) == (10, 20, 30)


def test_the_bar_goes_from_hot_to_cold() -> None:
    image = drawn(GREY, Heat([0.0] * 4, (2, 2), 6.0))
    side = shown_side(image)
    column = 2 * side + 3 * MARGIN + BAR_WIDTH // 2
    # The outermost rows are its frame.
    top, middle, bottom = (rgb(image, column, MARGIN + row) for row in (1, side // 2, side - 2))
    assert top[0] > 2 * max(top[1:])
    assert bottom[2] > 1.5 * max(bottom[:2])
    assert max(middle) - min(middle) <= 2


@pytest.mark.parametrize("limit", [6.0, 0.0123, 12345.6, 1e15])
def test_what_the_bar_says_is_not_cut_off(limit: float) -> None:
    image = drawn(GREY, Heat([0.0] * 4, (2, 2), limit))
    assert image.crop((image.width - 2, 0, image.width, image.height)).getcolors() == [(2 * image.height, (255,) * 3)]


def test_each_line_of_the_caption_is_written_under_the_picture() -> None:
    heights = [drawn(GREY, Heat([0.0] * 4, (2, 2), 6.0, ("words",) * lines)).height for lines in (0, 1, 2)]
    assert heights[1] - heights[0] == heights[2] - heights[1] > 0
    image = drawn(GREY, Heat([0.0] * 4, (2, 2), 6.0, ("words",)))
    under = image.crop((0, shown_side(image) + 2 * MARGIN - 4, image.width // 2, image.height))
    assert len(under.getcolors(10_000) or []) > 1
