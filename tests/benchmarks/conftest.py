"""Tiny folders of coloured pictures, told apart by their colour.

Owns what "tiny" means here: 3 classes of 16 pixels a side. Knows no law.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from training.sample_sheet import to_image

COLOURS = ("blue", "green", "red")


@pytest.fixture
def make_pictures(tmp_path: Path) -> Callable[..., Path]:
    """A maker of folders of noise with one channel brighter: how many of a class, the channels, and a seed."""

    def make(name: str = "train", count: int = 16, seed: int = 0, side: int = 16) -> Path:
        generator = torch.Generator().manual_seed(seed)
        for channel, colour in enumerate(reversed(COLOURS)):
            (tmp_path / name / colour).mkdir(parents=True)
            for index in range(count):
                pixels = torch.randint(120, (3, side, side), generator=generator)
                pixels[channel] += 80
                to_image(pixels.to(torch.uint8)).save(tmp_path / name / colour / f"{index}.png")
        return tmp_path / name

    return make
