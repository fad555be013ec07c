"""Owns the guidance rules in numbers: each equals its formula, at each weight and place."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.guidance import Guidance, Part, Rule

Prediction = tuple[Tensor, Tensor]
WEIGHT = torch.tensor([0.0, 0.5, 20.0], dtype=torch.float64)
RULES: list[Rule] = ["linear", "corrected"]


@pytest.fixture
def conditional() -> Prediction:
    """Log-scale and shift of three rows of five patches of eight values, under a class."""
    log_scale, shift = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    return log_scale, shift


@pytest.fixture
def null() -> Prediction:
    """The same under no class."""
    log_scale, shift = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    return log_scale, shift


def linear(log_scale: float, shift: float, null_log_scale: float, null_shift: float, w: float) -> tuple[float, float]:
    """Section 3.4 of arXiv 2412.06329, for one value."""
    return log_scale + w * (log_scale - null_log_scale), shift + w * (shift - null_shift)


def corrected(log_scale: float, mean: float, null_log_scale: float, null_mean: float, w: float) -> tuple[float, float]:
    """Section 3.4 of arXiv 2506.06276, for one value; a variance is the log-scale's exponential, squared."""
    variance, null_variance = math.exp(log_scale) ** 2, math.exp(null_log_scale) ** 2
    s = min(variance / null_variance, 1.0)
    guided = variance / (1 + w - w * s)
    return math.log(math.sqrt(guided)), ((1 + w) * mean - w * s * null_mean) / (1 + w - w * s)


@pytest.mark.parametrize(("rule", "formula"), [("linear", linear), ("corrected", corrected)])
def test_a_rule_equals_its_formula(
    rule: Rule, formula: Callable[..., tuple[float, float]], conditional: Prediction, null: Prediction
) -> None:
    weights = WEIGHT.repeat_interleave(40)
    columns = zip(*(part.flatten().tolist() for part in (*conditional, *null, weights)), strict=True)
    expected = torch.tensor([formula(*values) for values in columns], dtype=torch.float64).T.view(2, 3, 5, 8)
    guided = Guidance(WEIGHT, rule=rule).combine(conditional, null, progress=1 / 8)
    torch.testing.assert_close(torch.stack(guided), expected)


@pytest.mark.parametrize("rule", RULES)
def test_weight_zero_is_the_conditional_prediction(rule: Rule, conditional: Prediction, null: Prediction) -> None:
    guided = Guidance(torch.zeros(3), rule=rule).combine(conditional, null, progress=1 / 8)
    torch.testing.assert_close(guided, conditional)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("share", [1 / 8, 1 / 2, 1.0])
def test_annealing_lets_the_weight_grow_linearly_to_the_whole(
    rule: Rule, share: float, conditional: Prediction, null: Prediction
) -> None:
    annealed = Guidance(WEIGHT, annealed=True, rule=rule).combine(conditional, null, share)
    constant = Guidance(WEIGHT * share, rule=rule).combine(conditional, null, share)
    torch.testing.assert_close(annealed, constant)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("guide", "guided"), [("scale", 0), ("shift", 1)])
def test_a_part_that_is_not_guided_is_the_conditional_one(
    rule: Rule, guide: Part, guided: int, conditional: Prediction, null: Prediction
) -> None:
    both = Guidance(WEIGHT, rule=rule).combine(conditional, null, progress=1 / 8)
    one = Guidance(WEIGHT, guide=(guide,), rule=rule).combine(conditional, null, progress=1 / 8)
    assert torch.equal(one[guided], both[guided])
    assert torch.equal(one[1 - guided], conditional[1 - guided])


def test_the_corrected_rule_never_widens_the_conditional_scale(conditional: Prediction, null: Prediction) -> None:
    log_scale, _ = Guidance(WEIGHT, rule="corrected").combine(conditional, null, progress=1 / 8)
    assert (log_scale <= conditional[0]).all()


@pytest.mark.parametrize("gap", [-500.0, 500.0])
def test_the_corrected_rule_is_finite_however_far_apart_the_scales(gap: float) -> None:
    conditional, null = (torch.full((3, 1, 1), gap), torch.ones(3, 1, 1)), (torch.zeros(3, 1, 1), -torch.ones(3, 1, 1))
    guided = Guidance(WEIGHT.float(), rule="corrected").combine(conditional, null, progress=1 / 8)
    assert torch.stack(guided).isfinite().all()
