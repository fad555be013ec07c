"""The training curve as PNG: the loss of every step, and smoothed, over epochs.

Owns the drawing, which needs Pillow alone. Knows nothing of how the log came to be.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from model.replacement import replacing

WIDTH, HEIGHT = 900, 520
LEFT, TOP, RIGHT, BOTTOM = 90, 50, 25, 65
INK, GRID, STEPS, SMOOTH = "#222222", "#e4e4e4", "#b9cde6", "#1f4e9c"
FONT_PX = 15
TICKS = 6
# The smoothed loss is the mean of so large a share of the steps before each.
SPAN_SHARE = 0.02
# The first steps would squeeze all others into a line: the axis shows what lies below this share of them.
SHOWN_SHARE = 0.98


@dataclass(frozen=True)
class Axis:
    """Values `low`..`high` onto pixels `start`..`end`, with round numbers as ticks."""

    low: float
    high: float
    start: int
    end: int

    def pixel(self, value: float) -> float:
        """Where a value lies, clipped to the axis."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """About `TICKS` multiples of 1, 2 or 5 times a power of ten within the axis."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        pace = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = math.ceil(self.low / pace)
        return [index * pace for index in range(first, math.floor(self.high / pace) + 1)]


def write_curve(records: Sequence[dict[str, Any]], file: Path) -> None:
    """Draw the records of a run's log; steps that were skipped have no loss and are left out."""
    points = [(each["epoch"], each["loss_nats_per_dim"]) for each in records if each["loss_nats_per_dim"] is not None]
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(FONT_PX)
    if points:
        smooth = smoothed([loss for _, loss in points])
        across = Axis(0, points[-1][0], LEFT, WIDTH - RIGHT)
        up = _loss_axis([loss for _, loss in points], smooth)
        _draw_frame(draw, font, across, up)
        _draw_line(draw, across, up, points, STEPS, 1)
        epochs = [epoch for epoch, _ in points]
        _draw_line(draw, across, up, list(zip(epochs, smooth, strict=True)), SMOOTH, 3)
        last = f"{points[-1][0]:.4g} epochs, smoothed loss {smooth[-1]:.4f}"
        draw.text((WIDTH - RIGHT, TOP - 12), last, INK, font, anchor="rs")
    draw.text((LEFT, TOP - 12), "loss (nats per dim)", INK, font, anchor="ls")
    draw.text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12), "epochs", INK, font, anchor="ms")
    with replacing(file) as partial:
        image.save(partial, "PNG")


def smoothed(losses: Sequence[float]) -> list[float]:
    """The mean of the last losses up to each: of as many as `SPAN_SHARE` of all, of fewer at the start."""
    span = max(1, round(SPAN_SHARE * len(losses)))
    sums = [0.0]
    for loss in losses:
        sums.append(sums[-1] + loss)
    return [(sums[i] - sums[max(0, i - span)]) / min(i, span) for i in range(1, len(sums))]


def _loss_axis(losses: Sequence[float], smooth: Sequence[float]) -> Axis:
    shown = sorted(losses)[: max(1, math.ceil(SHOWN_SHARE * len(losses)))]
    low, high = shown[0], max(shown[-1], smooth[-1])
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low - margin, high + margin, HEIGHT - BOTTOM, TOP)


def _draw_frame(draw: ImageDraw.ImageDraw, font: Any, across: Axis, up: Axis) -> None:
    for value in across.ticks():
        x = across.pixel(value)
        draw.line([(x, up.start), (x, up.end)], GRID)
        draw.text((x, up.start + 8), f"{value:g}", INK, font, anchor="ma")
    for value in up.ticks():
        y = up.pixel(value)
        draw.line([(across.start, y), (across.end, y)], GRID)
        draw.text((across.start - 8, y), f"{round(value, 9):g}", INK, font, anchor="rm")
    draw.line([(across.start, up.end), (across.start, up.start), (across.end, up.start)], INK)


def _draw_line(
    draw: ImageDraw.ImageDraw, across: Axis, up: Axis, points: Sequence[tuple[float, float]], colour: str, width: int
) -> None:
    # What the axis leaves out at the beginning would be a line along its end.
    shown = dropwhile(lambda point: point[1] > up.high, points)
    drawn = [(across.pixel(x), up.pixel(y)) for x, y in shown]
    draw.line(drawn if len(drawn) > 1 else drawn * 2, colour, width)
