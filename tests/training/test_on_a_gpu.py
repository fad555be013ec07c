"""Owns the laws of training on a GPU: steps that the host does not wait for, compiled or not, begun and resumed.

Skipped where there is none; `benchmarks/on_gpu.sh` runs them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model import TarFlow, load
from training.batches import Batches, place
from training.image_folder import read_image_folder
from training.learner import Learner
from training.objective import ASKED
from training.options import TrainOptions
from training.process_group import ProcessGroup, process_group
from training.run_folder import RunFolder
from training.trainer import train

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("ignore"),  # torch's compiler warns of its own ways
]
OptionsMaker = Callable[..., TrainOptions]
# A shape that the compiler and half precision are used for.
SHAPE: dict[str, Any] = {"patch_size": 2, "channels": 128, "head_dim": 64, "layers_per_block": 2}


@pytest.fixture
def gpu() -> ProcessGroup:
    """One process on the GPU."""
    return ProcessGroup(0, 1, torch.device("cuda", 0))


def learner_of(options: TrainOptions, group: ProcessGroup) -> tuple[Learner, Batches]:
    """A learner and its batches, both of the options."""
    data = place(
        read_image_folder(options.data, options.image_size, options.in_channels), group.device, options.device_data_gib
    )
    torch.manual_seed(0)
    flow = TarFlow(options.architecture(num_classes=2)).to(group.device)
    return Learner(flow, options, group), Batches(data, flow.config, options.batch_size, 0.1, 0, flip=True)


def losses(options: TrainOptions, group: ProcessGroup, steps: int = 4) -> list[float]:
    """Of the first steps."""
    learner, batches = learner_of(options, group)
    return [learn(learner, batches, step)[0].item() for step in range(steps)]


def learn(learner: Learner, batches: Batches, step: int) -> Tensor:
    """What a step says that is made as a run makes it."""
    device = learner.group.device
    asked = batches.asked_at(step, device, ASKED) if learner.options.class_weight else None
    return learner.learn(step, *batches.at(step, device), 1e-3, asked)


@pytest.mark.parametrize("device_data_gib", [0.0, 1.0])
@pytest.mark.parametrize("changes", [{}, {"precision": "bf16", "accumulate": 2}, {"clip": 0.0}, {"class_weight": 0.1}])
def test_nothing_waits_for_the_gpu_in_a_step(
    make_options: OptionsMaker, gpu: ProcessGroup, changes: dict[str, Any], device_data_gib: float
) -> None:
    learner, batches = learner_of(make_options(device_data_gib=device_data_gib, **SHAPE, **changes), gpu)
    learn(learner, batches, 0)  # makes the optimiser's state
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(1, 3):
            learn(learner, batches, step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_step_is_the_same_wherever_the_data_lie(make_options: OptionsMaker, gpu: ProcessGroup) -> None:
    found = (learner_of(make_options(device_data_gib=gib), gpu)[1].at(3, gpu.device) for gib in (0.0, 1.0))
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_compiled_steps_in_half_precision_are_close_to_plain_ones(
    make_options: OptionsMaker, gpu: ProcessGroup
) -> None:
    plain = losses(make_options(**SHAPE), gpu)
    assert losses(make_options(precision="bf16", compile=True, **SHAPE), gpu) == pytest.approx(plain, rel=2e-2)


def test_a_step_without_finite_gradients_changes_nothing(make_options: OptionsMaker, gpu: ProcessGroup) -> None:
    learner, batches = learner_of(make_options(**SHAPE), gpu)
    images, labels = batches.at(0, gpu.device)
    learner.learn(0, images, labels, 1e-3)
    before = {name: tensor.clone() for name, tensor in learner.state()["flow"].items()}
    moments = learner.optimizer.state[next(learner.flow.parameters())]
    made, mean = moments["step"].item(), moments["exp_avg"].clone()
    *_, norm = learner.learn(1, images * torch.nan, labels, 1e-3)
    assert not norm.isfinite()
    torch.testing.assert_close(learner.state()["flow"], before, rtol=0, atol=0)
    assert (moments["step"].item(), torch.equal(moments["exp_avg"], mean)) == (made, True)


def test_a_run_in_pieces_goes_on_and_leaves_a_model_in_parts_that_loads(
    make_options: OptionsMaker, records: Callable[[Path], list[dict[str, Any]]]
) -> None:
    recipe: dict[str, Any] = {"precision": "bf16", "compile": True, "weights_dtype": "float16", "part_mib": 0.25}
    options = make_options(device="cuda", resume_or_begin=True, stop_after=3, flip=True, **SHAPE, **recipe)
    with process_group("cuda") as group:
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        train(options, group)
        train(make_options(**vars(options) | {"stop_after": 0}), group)
    assert [record["step"] for record in records(options.out)] == [1, 2, 3, 4, 5, 6]
    assert records(options.out)[-1]["mfu"] is None or records(options.out)[-1]["mfu"] > 0
    assert len(list(RunFolder(options.out).checkpoint.glob("model-*.safetensors"))) > 1
    assert load(RunFolder(options.out).checkpoint, "cuda").config.channels == 128
