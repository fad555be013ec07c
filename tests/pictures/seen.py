"""What can be seen in a heat map.

Owns the places of its parts. Knows no law.
"""

from PIL import Image

from pictures.heat_map import BAR_WIDTH, MARGIN, TEXT_WIDTH


def shown_side(image: Image.Image) -> int:
    """Of each of the two pictures, in pixels."""
    return (image.width - 3 * MARGIN - BAR_WIDTH - TEXT_WIDTH) // 2


def cell(image: Image.Image, index: int, grid: int) -> tuple[int, int, int]:
    """The colour in the middle of a cell of the heat."""
    side = shown_side(image)
    row, column = divmod(index, grid)
    x, y = ((2 * place + 1) * side // (2 * grid) for place in (column, row))
    return rgb(image, side + 2 * MARGIN + x, MARGIN + y)


def rgb(image: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    """A pixel."""
    found = image.getpixel((x, y))
    assert isinstance(found, tuple)
    return int(found[0]), int(found[1]), int(found[2])


def redness(colour: tuple[int, int, int]) -> int:
    """How much more red than blue."""
    return colour[0] - colour[2]
