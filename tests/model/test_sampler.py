"""Owns the laws of sampling: exact inversion, what guidance does to a row, and that rows do not meet."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from model import Sampler, TarFlow, sample, trajectory
from model.guidance import Part, Rule
from model.plan import Plan
from model.rows import Rows
from model.sampler import Method
from model.stepwise import Stepwise
from tests.model.by_prefix import LABELS, Asked, prior_noise, sampled_by_prefix

FlowMaker = Callable[..., TarFlow]
CLOSE: dict[str, Any] = {"rtol": 0.0, "atol": 1e-9}


def widths_of_the_network(flow: TarFlow, options: dict[str, Any]) -> set[int]:
    """How many rows the network sees while the four test rows are sampled."""
    widths: set[int] = set()
    for block in flow.blocks:
        block.proj_in.register_forward_pre_hook(lambda _, inputs: widths.add(len(inputs[0])))
    sample(flow, prior_noise(), **options)
    return widths


@dataclass(frozen=True)
class Signed:
    """Inverts no block, but signs for those it was given."""

    name: str
    signed: dict[int, str]

    def invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        """See `Inverter`."""
        assert rows.requests == len(latents)
        self.signed[index] = self.name
        return latents


def ways_taken(flow: TarFlow, method: Method, guidance: float, most_rows: int = 7) -> dict[int, str]:
    """Which way each block is inverted for the four test rows, where rounds pay in block 1 up to so many rows."""
    signed: dict[int, str] = {}
    plan = Plan(((most_rows, frozenset({1})),))
    sampler = Sampler(flow, Signed("exact", signed), Signed("rounds", signed), plan)
    sample(flow, prior_noise(), LABELS, guidance, method=method, sampler=sampler)
    return signed


@pytest.mark.parametrize("kind", [{}, {"volume_preserving": True}, {"num_classes": 0}, {"blocks": 3}])
@pytest.mark.parametrize(
    ("weight", "annealed", "temperature"), [(0.0, False, 1.0), (1.5, False, 1.0), (1.5, True, 1.0), (0.5, True, 0.6)]
)
def test_cached_sampling_equals_recomputing_every_prefix(
    make_flow: FlowMaker, kind: dict[str, Any], weight: float, annealed: bool, temperature: float
) -> None:
    flow, noise = make_flow(**kind), prior_noise()
    labels = LABELS if flow.config.num_classes else None
    cached = sample(flow, noise, labels, weight, annealed=annealed, attention_temperature=temperature)
    recomputed = sampled_by_prefix(flow, noise, Asked.of(weight, labels, temperature, annealed=annealed))
    torch.testing.assert_close(cached, recomputed, **CLOSE)


def test_rounds_give_what_the_exact_way_does(make_flow: FlowMaker) -> None:
    flow, noise = make_flow(), prior_noise()
    exact = sample(flow, noise, LABELS, 1.0, method="sequential")
    torch.testing.assert_close(sample(flow, noise, LABELS, 1.0, method="parallel"), exact, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sampler_made_ready_beforehand_changes_nothing(make_flow: FlowMaker, dtype: torch.dtype) -> None:
    flow = make_flow().to(dtype)
    sampler = Sampler.prepare(flow)
    for rows, method in ((4, "auto"), (2, "sequential"), (3, "parallel")):
        noise, labels, chosen = prior_noise(rows).to(dtype), LABELS[:rows], cast("Method", method)
        ready = sample(flow, noise, labels, method=chosen, sampler=sampler)
        assert torch.equal(ready, sample(flow, noise, labels, method=chosen))


@pytest.mark.parametrize(
    ("method", "ways"),
    [
        ("sequential", {0: "exact", 1: "exact", 2: "exact"}),
        ("auto", {0: "exact", 1: "rounds", 2: "exact"}),
        ("parallel", {0: "rounds", 1: "rounds", 2: "rounds"}),
    ],
)
def test_a_method_decides_which_way_each_block_is_inverted(
    make_flow: FlowMaker, method: Method, ways: dict[int, str]
) -> None:
    assert ways_taken(make_flow(blocks=3), method, guidance=2.0) == ways


@pytest.mark.parametrize(("guidance", "way"), [(0.0, "rounds"), (2.0, "exact")])
def test_the_plan_is_asked_about_the_rows_of_the_network(make_flow: FlowMaker, guidance: float, way: str) -> None:
    assert ways_taken(make_flow(blocks=3), "auto", guidance, most_rows=6)[1] == way


def test_a_sampler_takes_no_rounds_of_itself_before_it_is_calibrated(make_flow: FlowMaker) -> None:
    assert Sampler.prepare(make_flow()).plan == Plan()


def test_a_flow_in_double_precision_is_sampled_step_by_step(make_flow: FlowMaker) -> None:
    sampler = Sampler.prepare(make_flow())
    assert isinstance(sampler.exact, Stepwise)
    assert not sampler.rows_are_independent


def test_a_row_does_not_depend_on_its_neighbours(make_flow: FlowMaker) -> None:
    flow, noise = make_flow(), prior_noise()
    guidance, temperature = torch.tensor([2.0, 0.0, 1.0, 0.5]), torch.tensor([1.0, 0.5, 0.7, 1.0])
    together = sample(flow, noise, LABELS, guidance, attention_temperature=temperature)
    alone = [
        sample(flow, noise[row], LABELS[row], guidance[row], attention_temperature=temperature[row])
        for row in torch.arange(len(LABELS)).split(1)
    ]
    torch.testing.assert_close(together, torch.cat(alone), **CLOSE)


@pytest.mark.parametrize("rule", ["linear", "corrected"])
@pytest.mark.parametrize("options", [{}, {"annealed": True}, {"attention_temperature": 0.5}, {"guide": ("scale",)}])
def test_a_row_of_guidance_zero_is_sampled_plainly_among_guided_ones(
    make_flow: FlowMaker, rule: Rule, options: dict[str, Any]
) -> None:
    flow, noise = make_flow(), prior_noise()
    mixed = sample(flow, noise, LABELS, torch.tensor([0.0, 2.0, 0.0, 2.0]), rule=rule, **options)
    plain = sampled_by_prefix(flow, noise, Asked.of(0.0))
    torch.testing.assert_close(mixed[[0, 2]], plain[[0, 2]], **CLOSE)


@pytest.mark.parametrize("guide", [("scale",), ("shift",)])
@pytest.mark.parametrize("rule", ["linear", "corrected"])
def test_guiding_either_part_moves_the_rows_of_a_class(make_flow: FlowMaker, guide: tuple[Part], rule: Rule) -> None:
    flow, noise = make_flow(), prior_noise()
    guided, plain = (sample(flow, noise, LABELS, weight, guide=guide, rule=rule) for weight in (1.0, 0.0))
    assert (guided != plain).any(dim=(1, 2, 3)).tolist() == [True, True, False, True]


def test_guiding_no_part_is_plain_sampling(make_flow: FlowMaker) -> None:
    flow, noise = make_flow(), prior_noise()
    torch.testing.assert_close(sample(flow, noise, LABELS, 2.0, guide=()), sample(flow, noise, LABELS, 0.0), **CLOSE)


@pytest.mark.parametrize(("temperature", "moves"), [(1.0, False), (0.5, True)])
def test_without_a_class_only_the_attention_temperature_guides(
    make_flow: FlowMaker, temperature: float, moves: bool
) -> None:
    flow, noise = make_flow(num_classes=0), prior_noise()
    guided = sample(flow, noise, None, 1.0, attention_temperature=temperature)
    assert (guided != sample(flow, noise, None, 0.0)).any(dim=(1, 2, 3)).tolist() == [moves] * len(noise)


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({"labels": LABELS, "guidance": 0.0}, 4),
        ({"labels": LABELS, "guidance": 2.0}, 4 + 3),
        ({"labels": LABELS, "guidance": torch.tensor([0.0, 2.0, 2.0, 0.0])}, 4 + 1),
        ({"labels": LABELS, "guidance": 2.0, "attention_temperature": 0.5}, 4 + 4),
        ({"labels": None, "guidance": 2.0}, 4),
        ({"labels": None, "guidance": 2.0, "attention_temperature": torch.tensor([1.0, 0.5, 1.0, 1.0])}, 4 + 1),
        ({"labels": LABELS, "guidance": 0.0, "attention_temperature": 0.5}, 4),
    ],
)
def test_only_rows_that_guidance_can_move_pay_for_a_null_branch(
    make_flow: FlowMaker, options: dict[str, Any], width: int
) -> None:
    assert widths_of_the_network(make_flow(), options) == {width}


def test_guiding_the_scale_of_a_volume_preserving_flow_changes_nothing(make_flow: FlowMaker) -> None:
    flow, noise = make_flow(volume_preserving=True), prior_noise()
    guided, plain = (sample(flow, noise, LABELS, weight, guide=("scale",)) for weight in (2.0, 0.0))
    torch.testing.assert_close(guided, plain, **CLOSE)


def test_the_corrected_rule_stays_finite_where_the_linear_one_blows_up(make_flow: FlowMaker) -> None:
    flow, noise = make_flow().float(), prior_noise().float()
    with torch.no_grad():
        for block in flow.blocks:
            block.proj_in.weight.zero_()  # Log-scales are then the class's alone, and plain sampling is bounded.
            block.class_embed.mul_(30)
    samples = {rule: sample(flow, noise, LABELS, 20.0, rule=rule) for rule in ("linear", "corrected")}
    assert {rule: bool(images.isfinite().all()) for rule, images in samples.items()} == {
        "linear": False,
        "corrected": True,
    }


def test_a_trajectory_runs_from_the_noise_through_every_block_to_the_sample(make_flow: FlowMaker) -> None:
    flow, noise = make_flow(), prior_noise()
    first, *rest, last = trajectory(flow, noise, LABELS)
    assert len(rest) == flow.config.blocks - 1
    assert torch.equal(flow.patchify(first), noise)
    assert torch.equal(last, sample(flow, noise, LABELS))


def test_sampling_leaves_the_noise_as_it_was(make_flow: FlowMaker) -> None:
    noise = prior_noise()
    before = noise.clone()
    sample(make_flow(), noise, LABELS)
    assert torch.equal(noise, before)


def test_a_sample_carries_no_graph(make_flow: FlowMaker) -> None:
    assert not sample(make_flow(), prior_noise(), LABELS).requires_grad


@pytest.mark.parametrize("shape", [(4, 8, 9), (4, 9, 7), (9, 8), (4, 2, 6, 6)])
def test_noise_of_another_shape_is_refused_by_name(make_flow: FlowMaker, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"noise must have shape \(N, 9, 8\), got \({', '.join(map(str, shape))}\)"):
        sample(make_flow(), torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize(
    ("option", "value", "bounds"),
    [
        ("guidance", -1.0, r"\[0, inf\]"),
        ("guidance", math.nan, r"\[0, inf\]"),
        ("guidance", math.inf, r"\[0, inf\]"),
        ("attention_temperature", 0.0, r"\(0, 1\]"),
        ("attention_temperature", 1.5, r"\(0, 1\]"),
        ("attention_temperature", math.nan, r"\(0, 1\]"),
    ],
)
@pytest.mark.parametrize("per_row", [False, True])
def test_a_number_out_of_bounds_is_refused_by_name(
    make_flow: FlowMaker, option: str, value: float, bounds: str, per_row: bool
) -> None:
    given: dict[str, Any] = {option: torch.tensor([1.0, 1.0, value, 1.0]) if per_row else value}
    with pytest.raises(ValueError, match=rf"{option} must be finite and lie in {bounds}, got {value:g}$"):
        sample(make_flow(), prior_noise(), LABELS, **given)


@pytest.mark.parametrize("option", ["guidance", "attention_temperature"])
def test_numbers_for_another_count_of_rows_are_refused_by_name(make_flow: FlowMaker, option: str) -> None:
    given: dict[str, Any] = {option: torch.ones(3)}
    with pytest.raises(ValueError, match=rf"{option} must be a number or \(4,\), got shape \(3,\)"):
        sample(make_flow(), prior_noise(), LABELS, **given)


@pytest.mark.parametrize(
    ("option", "value"), [("method", "magic"), ("rule", "magic"), ("guide", ("scale", "magic")), ("guide", "magic")]
)
def test_an_unknown_choice_is_refused_by_name(make_flow: FlowMaker, option: str, value: object) -> None:
    given: dict[str, Any] = {option: value}
    with pytest.raises(ValueError, match=rf"{option} m.*, got .*'magic'"):
        sample(make_flow(), prior_noise(), LABELS, **given)


def test_noise_of_another_dtype_is_refused_by_name(make_flow: FlowMaker) -> None:
    with pytest.raises(ValueError, match=r"noise must be torch.float64, got torch.int64"):
        sample(make_flow(), prior_noise().long(), LABELS)


def test_a_wrong_argument_is_refused_before_the_first_image(make_flow: FlowMaker) -> None:
    with pytest.raises(ValueError, match="guidance must"):
        trajectory(make_flow(), prior_noise(), LABELS, guidance=-1)


def test_a_label_out_of_range_is_refused_by_name(make_flow: FlowMaker) -> None:
    with pytest.raises(ValueError, match=r"labels must .*got 3$"):
        sample(make_flow(), prior_noise(), torch.tensor([0, 1, 2, 3]))
