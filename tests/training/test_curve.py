"""Owns the laws of the training curve: what is drawn is what was logged, at any length."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from training.curve import HEIGHT, SMOOTH, STEPS, WIDTH, Axis, smoothed, write_curve


def falling(steps: int) -> list[dict[str, Any]]:
    """The log of a run whose loss falls."""
    return [{"epoch": step / 10, "loss_nats_per_dim": 1 + math.exp(-step / 30)} for step in range(1, steps + 1)]


def colours(file: Path) -> set[str]:
    """Those in a picture, as they are written in the source."""
    with Image.open(file) as image:
        assert (image.format, image.size) == ("PNG", (WIDTH, HEIGHT))
        found = image.convert("RGB").getcolors(WIDTH * HEIGHT) or []
    return {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in found if isinstance(colour, tuple)}


@pytest.mark.parametrize("steps", [1, 2, 3000])
def test_a_curve_of_any_length_is_drawn(tmp_path: Path, steps: int) -> None:
    write_curve(falling(steps), tmp_path / "curve.png")
    assert SMOOTH in colours(tmp_path / "curve.png")


def test_the_steps_are_drawn_beside_the_smoothed_loss(tmp_path: Path) -> None:
    noisy = [each | {"loss_nats_per_dim": index % 7} for index, each in enumerate(falling(200))]
    write_curve(noisy, tmp_path / "curve.png")
    assert {STEPS, SMOOTH} <= colours(tmp_path / "curve.png")


def test_a_run_whose_steps_were_all_skipped_has_an_empty_picture(tmp_path: Path) -> None:
    write_curve([{"epoch": 1.0, "loss_nats_per_dim": None}], tmp_path / "curve.png")
    assert not {STEPS, SMOOTH} & colours(tmp_path / "curve.png")


def test_a_step_that_was_skipped_is_left_out(tmp_path: Path) -> None:
    with_a_skip, without = falling(50), falling(50)
    with_a_skip[20]["loss_nats_per_dim"] = None
    del without[20]
    write_curve(with_a_skip, tmp_path / "one.png")
    write_curve(without, tmp_path / "other.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_a_loss_that_does_not_move_is_drawn(tmp_path: Path) -> None:
    write_curve([{"epoch": step, "loss_nats_per_dim": 0.0} for step in range(1, 5)], tmp_path / "curve.png")
    assert SMOOTH in colours(tmp_path / "curve.png")


def test_nothing_half_drawn_is_left_behind(tmp_path: Path) -> None:
    write_curve(falling(5), tmp_path / "curve.png")
    assert [file.name for file in tmp_path.iterdir()] == ["curve.png"]


def test_smoothing_is_the_mean_of_the_last_losses() -> None:
    losses = [float(index % 10) for index in range(200)]  # the span is 4
    assert smoothed(losses)[50] == pytest.approx(sum(losses[47:51]) / 4)
    assert smoothed(losses)[:2] == pytest.approx([0.0, 0.5])


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.7, 12.9), (0.913, 0.921), (0.0, 12345.0)])
def test_ticks_are_a_few_round_numbers_within_the_axis(low: float, high: float) -> None:
    ticks = Axis(low, high, 0, 100).ticks()
    assert 2 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)
    paces = {round(after - before, 9) for before, after in pairwise(ticks)}
    assert len(paces) == 1
    assert f"{paces.pop():e}"[0] in "125"


def test_values_beyond_the_axis_are_drawn_at_its_end() -> None:
    assert [Axis(0, 1, 100, 0).pixel(value) for value in (-5, 0, 0.5, 1, 5)] == [100, 100, 50, 0, 0]
