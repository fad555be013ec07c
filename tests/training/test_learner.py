"""Owns the laws of a step: in pieces or whole, compiled or not, in bfloat16 or not, it is the same step."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from model import TarFlow
from training.learner import Learner
from training.options import TrainOptions
from training.process_group import ProcessGroup

OptionsMaker = Callable[..., TrainOptions]
Step = tuple[dict[str, Tensor], float, float]
IMAGES = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
LABELS = torch.tensor([0, 1, -1, 0, 1, 1, -1, 0])


@pytest.fixture
def after_steps(make_options: OptionsMaker, alone: ProcessGroup) -> Callable[..., Step]:
    """A maker of what three steps of one flow lead to: its weights, the last loss and the last gradient's norm.

    AdamW makes much of the rounding of small gradients: laws of weights are told in float64.
    """

    def make(dtype: torch.dtype = torch.float64, **changes: object) -> Step:
        options = make_options(**changes)
        torch.manual_seed(0)
        learner = Learner(TarFlow(options.architecture(num_classes=2)).to(dtype), options, alone)
        for step in range(3):
            loss, _, norm = learner.learn(step, IMAGES.to(dtype), LABELS, learning_rate=0.01).tolist()
        return learner.state()["flow"], loss, norm

    return make


@pytest.mark.parametrize("pieces", [2, 4, 8])
def test_a_step_in_pieces_is_the_step_of_the_whole_batch(after_steps: Callable[..., Step], pieces: int) -> None:
    torch.testing.assert_close(after_steps(accumulate=pieces), after_steps(), rtol=1e-7, atol=1e-9)


@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own ways
def test_a_compiled_step_is_the_step_as_it_is_written(after_steps: Callable[..., Step]) -> None:
    found = after_steps(compile=True, accumulate=2, blocks=1)
    torch.testing.assert_close(found, after_steps(accumulate=2, blocks=1), rtol=1e-7, atol=1e-9)


def test_a_step_in_bfloat16_is_close_to_one_in_float32(after_steps: Callable[..., Step]) -> None:
    found = after_steps(torch.float32, precision="bf16")[1]
    assert found == pytest.approx(after_steps(torch.float32)[1], rel=5e-3)


def test_weights_stay_in_float32_under_bfloat16(after_steps: Callable[..., Step]) -> None:
    assert {weight.dtype for weight in after_steps(torch.float32, precision="bf16")[0].values()} == {torch.float32}


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16", "accumulate": 2}, {"clip": 0.0}, {"class_weight": 0.1}])
def test_a_step_asks_for_no_value_for_which_the_host_would_wait(
    make_options: OptionsMaker, alone: ProcessGroup, changes: dict[str, object]
) -> None:
    options = make_options(**changes)
    with FakeTensorMode():  # tensors without values: to ask for one raises
        learner = Learner(TarFlow(options.architecture(num_classes=2)), options, alone)
        images, labels = torch.empty(8, 1, 8, 8), torch.zeros(8, dtype=torch.int64)
        for step in range(2):
            said = learner.learn(step, images, labels, 0.01, (images, labels) if options.class_weight else None)
        with pytest.raises(DataDependentOutputException):
            said[0].item()
