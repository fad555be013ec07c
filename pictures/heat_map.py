"""A picture with a heat map over it, and a bar that says what the colours mean.

Owns the drawing. Knows nothing of what the heat is.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from pictures.fitting import Shape

# The picture is enlarged by a whole factor until its side is at least this.
LEAST_SIDE = 336
MARGIN = 16
BAR_WIDTH = 18
TEXT_WIDTH = 76
FONT_SIZE = 13
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
INK, GROUND = (32, 33, 36), (255, 255, 255)
# Blue for less than nothing, red for more: told apart by the colour-blind, too.
COLD, HOT = (44, 123, 230), (215, 25, 28)
# How much of the colour lies over the picture where the heat is greatest; none lies where there is none.
MOST_COVER = 0.85
# Under the heat black is a grey, for on black no colour shows, and the bar has the colours that lie on it.
BLACK = 70


@dataclass(frozen=True)
class Heat:
    """What is drawn over a picture.

    Attributes:
        values: Row by row, one for each cell of the grid.
        grid: Rows and columns.
        limit: What the ends of the bar stand for; values beyond take their colour.
        caption: Lines under the picture; they say what a value is.
    """

    values: Sequence[float]
    grid: tuple[int, int]
    limit: float
    caption: tuple[str, ...] = ()


def heat_map(pixels: bytes, shape: Shape, heat: Heat) -> bytes:
    """A PNG of pixels (C, H, W), one byte each: enlarged, beside it under the heat; a colour bar; a caption."""
    factor = -(-LEAST_SIDE // shape.side)
    side = factor * shape.side
    font = ImageFont.load_default(FONT_SIZE)
    height = side + 2 * MARGIN + (FONT_SIZE + 5) * len(heat.caption)
    sheet = Image.new("RGB", (2 * side + 3 * MARGIN + BAR_WIDTH + TEXT_WIDTH, height), GROUND)
    picture = _picture(pixels, shape).resize((side, side), Image.Resampling.NEAREST)
    sheet.paste(picture, (MARGIN, MARGIN))
    sheet.paste(_covered(picture, heat), (side + 2 * MARGIN, MARGIN))
    draw = ImageDraw.Draw(sheet)
    _bar(draw, (2 * side + 3 * MARGIN, MARGIN), side, heat, font)
    for line, text in enumerate(heat.caption):
        draw.text((MARGIN, side + 2 * MARGIN - 4 + line * (FONT_SIZE + 5)), text, INK, font)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _picture(pixels: bytes, shape: Shape) -> Image.Image:
    area = shape.side**2
    bands = [Image.frombytes("L", (shape.side, shape.side), pixels[i * area :][:area]) for i in range(shape.channels)]
    return Image.merge(shape.mode, bands).convert("RGB")


def _covered(picture: Image.Image, heat: Heat) -> Image.Image:
    """The picture in grey under the colours of the heat."""
    rows, columns = heat.grid
    shares = [_share(value, heat.limit) for value in heat.values]
    colours, cover = Image.new("RGB", (columns, rows)), Image.new("L", (columns, rows))
    colours.putdata([HOT if share > 0 else COLD for share in shares])
    cover.putdata([round(255 * MOST_COVER * abs(share)) for share in shares])
    grey = picture.convert("L").point(lambda value: BLACK + value * (255 - 2 * BLACK) // 255).convert("RGB")
    enlarged = [each.resize(picture.size, Image.Resampling.NEAREST) for each in (colours, cover)]
    return Image.composite(enlarged[0], grey, enlarged[1])


def _share(value: float, limit: float) -> float:
    """A value as a share of the bar, -1..1; NaN is as hot as can be."""
    return max(-1.0, min(1.0, value / limit)) if value == value else 1.0


def _bar(draw: ImageDraw.ImageDraw, corner: tuple[int, int], height: int, heat: Heat, font: Font) -> None:
    left, top = corner
    for row in range(height):
        share = 1 - 2 * row / (height - 1)
        cover = MOST_COVER * abs(share)
        over = tuple(round(BLACK + cover * (each - BLACK)) for each in (HOT if share > 0 else COLD))
        draw.line((left, top + row, left + BAR_WIDTH, top + row), over)
    draw.rectangle((left, top, left + BAR_WIDTH, top + height - 1), outline=INK)
    for share in (1, 0.5, 0, -0.5, -1):
        value = f"{share * heat.limit:+.3g}" if share else "0"
        draw.text((left + BAR_WIDTH + 6, top + (1 - share) / 2 * (height - 1)), value, INK, font, anchor="lm")
