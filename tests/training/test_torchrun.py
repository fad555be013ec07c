"""Owns the laws of many processes: two under torchrun end alike, as one that had seen both their batches.

Whether each holds all weights or its share of them.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from model import load
from model.checkpoint import load_card
from training.batches import Batches
from training.image_folder import read_image_folder
from training.options import TrainOptions
from training.process_group import ProcessGroup
from training.trainer import Trainer, train

from .conftest import RUN

ALONE = ProcessGroup(0, 1, torch.device("cpu"))
ROOT = Path(__file__).parents[2]
LIMIT_S = 180
# What `-m training train` does, and then every rank tells its weights.
WITNESS = """
import sys
from pathlib import Path
import torch
from training.__main__ import main
from training.trainer import Trainer
run = Trainer.run
def run_and_tell(trainer):
    run(trainer)
    weights = {"flow": dict(trainer.flow.named_parameters()), "average": trainer.learner.average.state()}
    torch.save(weights, Path(sys.argv[1]) / f"rank {trainer.group.rank}")
Trainer.run = run_and_tell
sys.exit(main(sys.argv[2:]))
"""

# The same run with the weights copied, shared out, and shared out and cut after three steps.
SHARDED = """
import sys
from dataclasses import replace
import torch
from training.options import TrainOptions
from training.process_group import process_group
from training.trainer import train
options = TrainOptions(**torch.load(sys.argv[1], weights_only=False))
with process_group(options.device) as group:
    train(replace(options, out=options.out / "copied"), group)
    options = replace(options, shard=True)
    train(replace(options, out=options.out / "sharded"), group)
    options = replace(options, out=options.out / "cut")
    train(replace(options, stop_after=3), group)
    train(replace(options, resume=True), group)
"""


@dataclass(frozen=True)
class Joined(Batches):
    """What all of `parts` processes see, as one batch."""

    parts: int = 2

    def at(self, step: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """The batches of every rank, in order."""
        ranks = [Batches(**self._shared(), rank=rank, world=self.parts).at(step, device) for rank in range(self.parts)]
        labels = [labels for _, labels in ranks if labels is not None]
        return torch.cat([images for images, _ in ranks]), torch.cat(labels)

    def _shared(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("rank", "world", "parts")}


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Two gloo processes on this machine, each on one thread."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S)


def test_two_processes_end_alike_and_as_one_that_saw_both_their_batches(
    train_arguments: Callable[..., list[str]], make_options: Callable[..., TrainOptions], tmp_path: Path
) -> None:
    (tmp_path / "witness.py").write_text(WITNESS)
    done = torchrun(str(tmp_path / "witness.py"), str(tmp_path), *train_arguments())
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"rank {rank}", weights_only=True) for rank in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    run = tmp_path / "command_line_run"
    assert len(losses(run)) == 6
    assert load_card(run / "checkpoint").command.startswith("torchrun --nproc-per-node 2 -m training train --data ")
    options = make_options(data=tmp_path / "command_line_data")
    data = read_image_folder(options.data, options.image_size, options.in_channels)
    alone = Trainer(options, data, ALONE)
    alone.batches = Joined(**vars(alone.batches))
    alone.run()
    ours, theirs = (load(folder / "checkpoint").state_dict() for folder in (run, options.out))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def sharded_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the runs of `SHARDED`, made once."""
    folder = tmp_path_factory.mktemp("sharded")
    for index in range(24):
        file = folder / "data" / ("cat", "dog")[index % 2] / f"{index:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.frombytes("L", (8, 8), random.Random(index).randbytes(64)).save(file)
    told = {"accumulate": 2, "precision": "bf16", "part_mib": 0.01, "class_weight": 0.1}
    given = RUN | {"data": folder / "data", "out": folder} | told
    torch.save(given, folder / "options")
    (folder / "sharded.py").write_text(SHARDED)
    done = torchrun(str(folder / "sharded.py"), str(folder / "options"))
    assert done.returncode == 0, done.stderr
    return folder


def losses(run: Path) -> list[float]:
    """What a run logged."""
    return [json.loads(line)["loss_nats_per_dim"] for line in (run / "log.jsonl").read_text().splitlines()]


def test_sharded_weights_learn_what_copied_ones_do(sharded_runs: Path) -> None:
    assert losses(sharded_runs / "sharded") == pytest.approx(losses(sharded_runs / "copied"), rel=1e-3)
    assert len(losses(sharded_runs / "sharded")) == 6


def test_a_sharded_run_leaves_the_whole_checkpoint_that_a_copied_one_does(sharded_runs: Path) -> None:
    ours, theirs = (load(sharded_runs / name / "checkpoint").state_dict() for name in ("sharded", "copied"))
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-4)


def test_a_sharded_run_that_is_cut_ends_as_the_unbroken_one(sharded_runs: Path) -> None:
    ours, theirs = (torch.load(sharded_runs / name / "state.pt", weights_only=True) for name in ("cut", "sharded"))
    for name in ("flow", "average", "optimizer", "step"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0)
    assert losses(sharded_runs / "cut") == losses(sharded_runs / "sharded")


def test_the_state_of_a_sharded_run_goes_on_in_one_process(sharded_runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree(sharded_runs / "cut", tmp_path / "run")
    given = RUN | json.loads((run / "options.json").read_text()) | {"data": sharded_runs / "data", "out": run}
    train(TrainOptions(**given | {"resume": True, "epochs": 3.0, "stop_after": 0, "shard": False}), ALONE)
    assert losses(run)[:6] == losses(sharded_runs / "cut")
    assert len(losses(run)) == 9


def test_the_two_batches_are_those_that_one_process_would_see(make_options: Callable[..., TrainOptions]) -> None:
    options = make_options()
    data = read_image_folder(options.data, options.image_size, options.in_channels)
    quiet = replace(options.architecture(len(data.class_names)), noise_std=0.0)
    one = Batches(data, quiet, 8, label_drop=0.0, seed=0)
    cpu = torch.device("cpu")
    for step in range(6):
        joined = Joined(**vars(one)).at(step, cpu)
        torch.testing.assert_close(joined, one.at(step, cpu), rtol=0, atol=0)
