"""Tiny folders of images and tiny runs, for every test of `training`.

Owns what "tiny" means: 2 classes of 12 images, 3 steps an epoch, 2 epochs. Knows no law.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from model import TarFlow, TarFlowConfig
from training.options import TrainOptions
from training.process_group import ProcessGroup
from training.trainer import train

TINY: dict[str, Any] = {
    "image_size": 8,
    "in_channels": 1,
    "patch_size": 4,
    "channels": 16,
    "head_dim": 16,
    "blocks": 2,
    "layers_per_block": 1,
}
RUN: dict[str, Any] = TINY | {"epochs": 2.0, "batch_size": 8, "device": "cpu"}


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """A maker of data folders of grey noise, 8 pixels wide: counts of images by class name."""

    def make(name: str = "data", side: int = 8, **counts: int) -> Path:
        for class_name, count in (counts or {"cat": 12, "dog": 12}).items():
            folder = tmp_path / name / class_name
            folder.mkdir(parents=True)
            for index in range(count):
                content = random.Random(f"{class_name} {index}").randbytes(side * side)
                Image.frombytes("L", (side, side), content).save(folder / f"{index:02}.png")
        return tmp_path / name

    return make


@pytest.fixture
def make_options(make_folder: Callable[..., Path], tmp_path: Path) -> Callable[..., TrainOptions]:
    """A maker of options of a tiny run on the default data folder, in `tmp_path`/`out`."""
    torch.set_num_threads(1)  # sums then come out in the same order every time
    data = make_folder()

    def make(out: str = "run", **changes: object) -> TrainOptions:
        return TrainOptions(**{"data": data, "out": tmp_path / out} | RUN | changes)

    return make


@pytest.fixture
def alone() -> ProcessGroup:
    """One process on the CPU."""
    return ProcessGroup(0, 1, torch.device("cpu"))


@pytest.fixture
def make_run(make_options: Callable[..., TrainOptions], alone: ProcessGroup) -> Callable[..., Path]:
    """A maker of finished runs: the options that differ in, the run's folder out."""

    def make(**changes: object) -> Path:
        options = make_options(**changes)
        train(options, alone)
        return options.out

    return make


@pytest.fixture
def records() -> Callable[[Path], list[dict[str, Any]]]:
    """A reader of a run's log."""

    def read(run: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]

    return read


@pytest.fixture
def train_arguments(make_folder: Callable[..., Path], tmp_path: Path) -> Callable[..., list[str]]:
    """A maker of the command line of a tiny run; an option given as None is left out."""
    data = make_folder("command_line_data", cat=12, dog=12)

    def make(**changes: object) -> list[str]:
        values = {"data": data, "out": tmp_path / "command_line_run"} | RUN | changes
        named = [[f"--{name.replace('_', '-')}", str(value)] for name, value in values.items() if value is not None]
        return ["train", *(word for pair in named for word in pair)]

    return make


@pytest.fixture
def make_shifting_flow() -> Callable[..., TarFlow]:
    """A maker of one-block flows whose shift is a constant of the class and whose scale is 1.

    Of class c, every value x beyond the first patch becomes x - levels[c], and the first patch
    stays: log p is the normal's in closed form. No levels: no classes, no shift, the identity.
    """

    def make(*levels: float, **changes: object) -> TarFlow:
        flow = TarFlow(TarFlowConfig(**TINY | {"blocks": 1, "num_classes": len(levels)} | changes))
        with torch.no_grad():
            for weight in flow.parameters():
                weight.zero_()
            if levels:
                (block,) = flow.blocks
                block.class_embed[:, 0, 0] = torch.tensor(levels)
                block.proj_out.weight[flow.config.patch_dims :, 0] = 1
        return flow.eval()

    return make
