"""Owns the laws of inverting in rounds: they end, what they return is checked, and rows do not meet."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from model import Sampler, TarFlow, load, sample
from model.rounds import TOLERANCE, Rounds
from model.rows import Rows
from model.stepwise import Stepwise
from tests.model.by_prefix import Asked, inverted_by_prefix, prior_noise

FlowMaker = Callable[..., TarFlow]
MIXED = Asked.of([1.5, 0.0, 2.0, 0.5], temperature=[0.6, 0.7, 1.0, 1.0])
GREY_LEVEL = 2 / 255  # Images are in [-1, 1].


@dataclass(frozen=True)
class Noted:
    """Gives `answer` for every value, and notes what it was asked."""

    answer: float = 7.0
    asked: list[tuple[int, Tensor, Rows]] = field(default_factory=list)

    def invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        """See `Inverter`."""
        self.asked.append((index, latents, rows))
        return torch.full_like(latents, self.answer)


@cache
def digits() -> Sampler:
    """The bundled checkpoint, ready to be sampled."""
    return Sampler.prepare(load("mnist-28"))


def lengths_of_the_window(flow: TarFlow, rounds: Rounds, latents: Tensor, index: int = 0) -> list[int]:
    """How many patches the network sees in each round, the check last."""
    lengths: list[int] = []
    hook = flow.blocks[index].proj_in.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    rounds.invert(index, latents, Rows.plain(latents))
    hook.remove()
    return lengths


def residual(flow: TarFlow, index: int, patches: Tensor, latents: Tensor, rows: Rows) -> Tensor:
    """The largest |x - (z * exp(a(x)) + m(x))| of each row, (N,)."""
    block, steps = flow.blocks[index], patches.shape[1] - 1
    class_vectors = block.class_vectors(rows.labels, len(rows))
    predicted = block.affine(block.conditioners(rows.spread(patches[:, :-1]), class_vectors, rows.query_scale))
    progress = torch.arange(1, steps + 1, dtype=patches.dtype).unsqueeze(1) / steps
    log_scale, shift = rows.fold(*predicted, progress)
    return (patches[:, 1:] - (latents[:, 1:] * log_scale.exp() + shift)).abs().amax(dim=(1, 2))


@pytest.mark.parametrize(
    "options",
    [
        {"guidance": 0.0},
        {"guidance": 2.0},
        {"guidance": 2.0, "annealed": True},
        {"guidance": torch.arange(16) % 4 * 1.0, "attention_temperature": 1 - torch.arange(16) % 3 * 0.2},
    ],
    ids=["plain", "guided", "annealed", "mixed"],
)
def test_digits_made_in_rounds_are_those_of_the_exact_way_to_a_grey_level(options: dict[str, Any]) -> None:
    sampler, noise, labels = digits(), torch.randn(16, 49, 16), torch.arange(16) % 11 - 1
    exact, parallel = (
        sample(sampler.flow, noise, labels, method=method, sampler=sampler, **options).clamp(-1, 1)
        for method in ("sequential", "parallel")
    )
    assert (parallel - exact).abs().max() <= GREY_LEVEL


def test_digits_that_never_settle_are_those_of_the_exact_way_to_the_last_bit() -> None:
    sampler, noise, labels = digits(), torch.randn(6, 49, 16), torch.arange(6) - 1
    hurried = Sampler(sampler.flow, sampler.exact, Rounds(sampler.flow, sampler.exact, most_rounds=1), sampler.plan)
    exact = sample(sampler.flow, noise, labels, method="sequential", sampler=sampler)
    assert torch.equal(sample(sampler.flow, noise, labels, method="parallel", sampler=hurried), exact)


@torch.no_grad()
def test_rows_that_settle_are_not_done_again(make_flow: FlowMaker) -> None:
    flow, exact, latents = make_flow(), Noted(), prior_noise()
    patches = Rounds(flow, exact).invert(1, latents, MIXED.rows())
    assert exact.asked == []
    torch.testing.assert_close(patches, inverted_by_prefix(flow.blocks[1], latents, MIXED), rtol=0, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_a_row_that_never_settles_comes_from_the_exact_way_and_no_other_does(
    make_flow: FlowMaker, wrong: float
) -> None:
    flow, exact, latents = make_flow(), Noted(), prior_noise()
    latents[2] = wrong
    patches = Rounds(flow, exact).invert(1, latents, MIXED.rows())
    ((index, left, rows),) = exact.asked
    assert index == 1
    torch.testing.assert_close(left, latents[2:3], rtol=0, atol=0, equal_nan=True)
    assert rows.labels is not None
    assert (rows.labels.tolist(), rows.guidance.weight.tolist()) == ([-1], [2.0])
    assert (patches == exact.answer).all(dim=(1, 2)).tolist() == [False, False, True, False]


@torch.no_grad()
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_a_row_that_is_no_number_does_not_disturb_the_others(make_flow: FlowMaker, wrong: float) -> None:
    flow, latents, others = make_flow(), prior_noise(), [0, 1, 3]
    expected = inverted_by_prefix(flow.blocks[1], latents, MIXED)
    latents[2] = wrong
    patches = Rounds(flow, Stepwise(flow)).invert(1, latents, MIXED.rows())
    torch.testing.assert_close(patches[others], expected[others], rtol=0, atol=1e-3)


@torch.no_grad()
def test_rounds_that_may_not_go_on_leave_every_row_to_the_exact_way(make_flow: FlowMaker) -> None:
    exact, latents = Noted(), prior_noise()
    patches = Rounds(make_flow(), exact, most_rounds=1).invert(0, latents, MIXED.rows())
    assert torch.equal(exact.asked[0][1], latents)
    assert (patches == exact.answer).all()


@torch.no_grad()
@pytest.mark.parametrize("tolerance", [1e-1, TOLERANCE, 1e-8])
@pytest.mark.parametrize("asked", [Asked.of(0.0), MIXED], ids=["plain", "mixed"])
def test_no_residual_of_rounds_that_went_to_the_end_is_above_the_tolerance(
    make_flow: FlowMaker, tolerance: float, asked: Asked
) -> None:
    flow, latents, rows = make_flow(), prior_noise(), asked.rows()
    patches = Rounds(flow, Noted(torch.nan), tolerance).invert(1, latents, rows)
    assert (residual(flow, 1, patches, latents, rows) <= tolerance).all()


@torch.no_grad()
def test_no_residual_of_what_passed_the_check_is_above_the_tolerance(make_flow: FlowMaker) -> None:
    passed = []
    for _ in range(40):
        flow, latents = make_flow(), prior_noise(16)
        rows = Rows.plain(latents)
        patches = Rounds(flow, Noted(torch.nan), tolerance=0.1, most_rounds=6).invert(0, latents, rows)
        residuals = residual(flow, 0, patches, latents, rows)
        passed.append(residuals[~residuals.isnan()])
    assert 0 < sum(map(len, passed)) < 40 * 16
    assert torch.cat(passed).max() <= 0.1


@torch.no_grad()
def test_rounds_that_do_not_settle_still_make_one_patch_final_each(make_flow: FlowMaker) -> None:
    flow = make_flow()
    lengths = lengths_of_the_window(flow, Rounds(flow, Noted(), tolerance=-1.0), prior_noise())
    assert lengths[:-1] == [8, 7, 6, 5, 4, 3, 2, 1]


@torch.no_grad()
def test_the_check_is_of_all_patches_that_have_any_before_them(make_flow: FlowMaker) -> None:
    flow = make_flow()
    assert lengths_of_the_window(flow, Rounds(flow, Noted()), prior_noise())[-1] == 8


@torch.no_grad()
def test_patches_that_are_final_leave_the_window(make_flow: FlowMaker) -> None:
    flow, latents = make_flow(patch_size=1), torch.randn(4, 36, 2, dtype=torch.float64)
    *rounds, _ = lengths_of_the_window(flow, Rounds(flow, Noted()), latents)
    assert rounds[0] == 35
    assert rounds == sorted(set(rounds), reverse=True)
    assert len(rounds) < 35 / 2


@torch.no_grad()
def test_latents_that_are_the_patches_already_take_one_round(identity_flow: TarFlow) -> None:
    assert lengths_of_the_window(identity_flow, Rounds(identity_flow, Noted()), prior_noise()) == [8, 8]


@torch.no_grad()
def test_no_more_rounds_are_taken_than_may_be(make_flow: FlowMaker) -> None:
    flow = make_flow()
    lengths = lengths_of_the_window(flow, Rounds(flow, Noted(), tolerance=-1.0, most_rounds=3), prior_noise())
    assert len(lengths) == 3 + 1
