"""Owns the laws of the moving average: how fast it decays, early and late."""

import pytest
import torch

from model import TarFlow, TarFlowConfig
from training.average import Average, decay_at

CONFIG = TarFlowConfig(8, 4, 16, 1, 1, in_channels=1, head_dim=16)
TAKEN, SKIPPED = torch.tensor(1.0), torch.tensor(0.0)


@pytest.fixture
def flow() -> TarFlow:
    """A flow whose first bias is 0."""
    flow = TarFlow(CONFIG)
    torch.nn.init.zeros_(flow.blocks[0].proj_in.bias)
    return flow


def first_bias(average: Average) -> float:
    """One of the averaged weights."""
    return average.state()["blocks.0.proj_in.bias"][0].item()


def test_the_decay_warms_up_to_the_stated_one() -> None:
    decays = [decay_at(step, 0.99) for step in range(2000)]
    assert decays == sorted(decays)
    assert (decays[0], decays[10], decays[-1]) == (0.1, 11 / 20, 0.99)


def test_without_a_decay_the_average_is_the_last_weights() -> None:
    assert {decay_at(step, 0.0) for step in range(100)} == {0.0}


def test_weights_that_a_run_began_with_are_forgotten_by_its_hundredth_step(flow: TarFlow) -> None:
    average = Average(flow, 0.9999)
    torch.nn.init.ones_(flow.blocks[0].proj_in.bias)
    for step in range(100):
        average.update(step, TAKEN)
    assert first_bias(average) == pytest.approx(1, abs=1e-6)


def test_the_average_decays_at_the_stated_rate(flow: TarFlow) -> None:
    average, expected = Average(flow, 0.75), 0.0
    for step in range(100, 110):
        torch.nn.init.constant_(flow.blocks[0].proj_in.bias, float(step))
        average.update(step, TAKEN)
        expected = 0.75 * expected + 0.25 * step
    assert first_bias(average) == pytest.approx(expected)


def test_a_step_that_was_not_taken_leaves_the_average_as_it_was(flow: TarFlow) -> None:
    average = Average(flow, 0.5)
    torch.nn.init.ones_(flow.blocks[0].proj_in.bias)
    average.update(0, SKIPPED)
    assert first_bias(average) == 0


def test_the_averaged_flow_holds_the_averaged_weights(flow: TarFlow) -> None:
    average = Average(flow, 0.5)
    torch.nn.init.ones_(flow.blocks[0].proj_in.bias)
    average.update(50, TAKEN)
    assert average.averaged(average.state()).blocks[0].proj_in.bias[0].item() == first_bias(average) == 0.5


def test_averaging_leaves_the_flow_as_it_was(flow: TarFlow) -> None:
    average = Average(flow, 0.5)
    torch.nn.init.ones_(flow.blocks[0].proj_in.bias)
    average.update(50, TAKEN)
    assert bool((flow.blocks[0].proj_in.bias == 1).all())
