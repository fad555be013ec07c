"""Owns the laws of judges on a GPU: steps that the host does not wait for, a seed that decides, and files that load.

Skipped where there is none; `benchmarks/judge_on_gpu.sh` runs them.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.classifier import Judge, load_judge, save_judge
from benchmarks.classifier_training import RECIPES, Training
from benchmarks.networks import Architecture
from training.image_folder import read_image_folder

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("ignore"),
]
GPU = torch.device("cuda")
COLOUR = Architecture("residual", 32, 3)
Maker = Callable[..., Path]


def training_of(data: Path, name: str = "residual") -> Training:
    """A short one, of the full width."""
    recipe = replace(RECIPES[name], epochs=4, batch_size=16, flip=True)
    return Training(read_image_folder(data, 32, 3), replace(COLOUR, name=name, width=0), recipe, 0, GPU)


@pytest.mark.parametrize("name", ["small", "residual"])
def test_nothing_waits_for_the_gpu_in_a_step(make_pictures: Maker, name: str) -> None:
    training = training_of(make_pictures(), name)
    batches = training._batches()
    training.learn(next(batches))  # makes the optimiser's state
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for chosen in batches:
            training.learn(chosen)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_seed_makes_the_same_judge_again(make_pictures: Maker) -> None:
    data, weights = make_pictures(), []
    for _ in range(2):
        training = training_of(data)
        training.run()
        weights.append(torch.cat([weight.flatten() for weight in training.network.parameters()]))
    assert torch.equal(*weights)


def test_a_judge_made_there_judges_on_a_cpu_too(make_pictures: Maker, tmp_path: Path) -> None:
    training = training_of(make_pictures())
    training.run()
    judge = Judge(training.network.eval(), COLOUR, ("blue", "green", "red"), 0.5)
    save_judge(judge, tmp_path / "judge.safetensors", "made here")
    pixels = read_image_folder(tmp_path / "train", 32, 3).pixels
    with torch.no_grad():
        there, here = judge.network(pixels.to(GPU)).cpu(), load_judge(tmp_path / "judge.safetensors").network(pixels)
    torch.testing.assert_close(here, there, atol=0.05, rtol=0.05)
