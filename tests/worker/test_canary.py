"""Laws of the canary: a flow that is what it was passes, one that is not is found out."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from model import Sampler, TarFlow
from tests.worker.conftest import EngineMaker
from worker.canary import IDLE_S, Canary, CanaryFailed, _log_prob
from worker.engine import Engine


def hatched(engine: Engine, scores_only: bool = False) -> Canary:
    """A canary of an engine that samples, or only scores."""
    return Canary.hatch(engine.flow, None if scores_only else Sampler.prepare(engine.flow))


def with_one_weight_of(flow: TarFlow, value: float) -> None:
    """Change one weight of the flow's first block."""
    with torch.no_grad():
        flow.blocks[0].proj_out.bias[0] = value


@pytest.mark.parametrize("scores_only", [False, True])
def test_a_flow_that_was_just_loaded_passes(engine: Engine, scores_only: bool) -> None:
    assert hatched(engine, scores_only).passed


@pytest.mark.parametrize("scores_only", [False, True])
def test_a_flow_passes_as_often_as_it_is_looked_at(engine: Engine, scores_only: bool) -> None:
    canary = hatched(engine, scores_only)
    for _ in range(3):
        canary.look()
    assert canary.passed


def test_it_is_the_same_picture_in_every_process(engine: Engine) -> None:
    assert torch.equal(hatched(engine).picture, hatched(engine).picture)


@pytest.mark.parametrize("scores_only", [False, True])
def test_a_weight_that_changes_is_found_out(engine: Engine, scores_only: bool) -> None:
    canary = hatched(engine, scores_only)
    with_one_weight_of(engine.flow, 0.5)
    with pytest.raises(CanaryFailed, match="log p"):
        canary.look()
    assert not canary.passed


def test_while_it_is_looked_at_the_last_look_counts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def log_prob(*arguments: Any) -> float:
        seen.append(canary.passed)
        return _log_prob(*arguments)

    canary = hatched(engine)
    monkeypatch.setattr("worker.canary._log_prob", log_prob)
    canary.look()
    assert seen == [True]


def test_a_canary_that_failed_once_stays_so_until_a_look_finds_nothing(engine: Engine) -> None:
    canary, bias = hatched(engine), float(engine.flow.blocks[0].proj_out.bias[0])
    with_one_weight_of(engine.flow, 0.5)
    with pytest.raises(CanaryFailed):
        canary.look()
    with_one_weight_of(engine.flow, bias)
    assert not canary.passed
    canary.look()
    assert canary.passed


def test_weights_that_are_not_finite_never_pass(engine: Engine) -> None:
    with_one_weight_of(engine.flow, float("nan"))
    with pytest.raises(CanaryFailed, match="nan"):
        hatched(engine, scores_only=True)


def test_an_inverse_of_other_weights_is_found_out(make_engine: EngineMaker) -> None:
    engine, other = make_engine(), make_engine()
    with torch.no_grad():
        other.flow.blocks[0].proj_out.weight += 0.1
    with pytest.raises(CanaryFailed, match="away from x"):
        Canary.hatch(engine.flow, replace(Sampler.prepare(other.flow), flow=engine.flow))


def test_it_is_looked_at_again_only_after_a_while_without_work(engine: Engine) -> None:
    canary = hatched(engine)
    canary.clock = lambda: canary_born_s + IDLE_S
    canary_born_s = canary.looked_s
    with_one_weight_of(engine.flow, 0.5)
    canary.look_if_idle(idle_since_s=canary_born_s + 1)  # a batch has just ended
    assert canary.passed
    with pytest.raises(CanaryFailed):
        canary.look_if_idle(idle_since_s=canary_born_s)
