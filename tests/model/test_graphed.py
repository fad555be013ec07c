"""Owns the laws of the graphed steps' buffers: whatever a batch left there, the next one is inverted as if alone.

The steps run uncaptured here; what they read and write is the same.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model import TarFlow
from model.graphed import LENGTH_BUCKET, MOST_SHAPES, Graphed, _Buffers, _Step
from model.guidance import Guidance, Rule
from model.rows import Rows
from model.stepwise import Stepwise
from tests.model.by_prefix import Asked, prior_noise

FlowMaker = Callable[..., TarFlow]
CLOSE: dict[str, Any] = {"rtol": 0.0, "atol": 1e-9}


def mixed(rows: int) -> Rows:
    """Classes, none among them, weights, 0 among them, and temperatures that repeat every 4, 3 and 5 rows."""
    place = torch.arange(rows)
    temperature = (1 - place % 5 * 0.1).tolist()
    return Asked.of((place % 3 * 0.5).tolist(), place % 4 - 1, temperature, rows).rows()


def plain(rows: int) -> Rows:
    """No guidance: no null rows."""
    return Asked.of(0.0, torch.zeros(rows, dtype=torch.int64), rows=rows).rows()


def assert_exact(inverter: Graphed, latents: Tensor, rows: Rows, index: int = 1) -> None:
    """The patches are those of the serial loop."""
    with torch.no_grad():
        found = inverter.invert(index, latents, rows)
        torch.testing.assert_close(found, Stepwise(inverter.flow).invert(index, latents, rows), **CLOSE)


@pytest.mark.parametrize("arranged", [mixed, plain])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 9, 17])
def test_a_batch_of_any_size_is_inverted_exactly(
    make_flow: FlowMaker, rows: int, arranged: Callable[[int], Rows]
) -> None:
    assert_exact(Graphed(make_flow()), prior_noise(rows), arranged(rows))


def test_what_earlier_batches_left_does_not_show(make_flow: FlowMaker) -> None:
    inverter = Graphed(make_flow())
    for rows in (mixed(8), mixed(7), mixed(5), plain(8), plain(5), plain(7), mixed(8), mixed(6)):
        for index in (1, 0):
            assert_exact(inverter, prior_noise(rows.requests), rows, index)


def test_batches_with_and_without_classes_take_turns(make_flow: FlowMaker) -> None:
    inverter = Graphed(make_flow())
    for labels in (torch.tensor([0, 1, 2, 0]), None, torch.full((4,), -1), torch.tensor([2, -1, 0, 1])):
        assert_exact(inverter, prior_noise(), Asked.of(1.5, labels, 0.7).rows())


@pytest.mark.parametrize(
    "rule", [{"annealed": True}, {"rule": "corrected"}, {"guide": ("scale",)}, {"temperature": 0.5}], ids=str
)
def test_batches_of_another_kind_of_guidance_take_turns(make_flow: FlowMaker, rule: dict[str, Any]) -> None:
    inverter = Graphed(make_flow())
    for asked in (Asked.of(), Asked.of(**rule), Asked.of(), Asked.of(0.5, **rule)):
        assert_exact(inverter, prior_noise(), asked.rows())


def test_threads_that_share_an_inverter_do_not_write_into_each_others_batches(make_flow: FlowMaker) -> None:
    inverter, rows = Graphed(make_flow()), mixed(4)
    batches = [prior_noise() * scale for scale in (1.0, 0.5, 0.25, 2.0)] * 8
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda latents: inverter.invert(1, latents, rows), batches))
    with torch.no_grad():
        expected = [Stepwise(inverter.flow).invert(1, latents, rows) for latents in batches]
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_a_batch_that_overflowed_leaves_nothing_behind(make_flow: FlowMaker, wrong: float) -> None:
    inverter, rows = Graphed(make_flow()), mixed(4)
    with torch.no_grad():
        inverter.invert(1, prior_noise() * wrong, rows)
    assert_exact(inverter, prior_noise(), rows)


def test_more_patches_than_one_length_of_the_cache_holds(make_flow: FlowMaker) -> None:
    flow = make_flow(image_size=12, patch_size=1, in_channels=1, channels=4, layers_per_block=1)
    assert flow.config.patches > LENGTH_BUCKET
    inverter = Graphed(flow)
    for rows in (4, 3):
        assert_exact(inverter, torch.randn(rows, 144, 1, dtype=torch.float64), mixed(rows))


class Full(nn.Module):
    """A layer for which memory is short, `times` times, for more than `rows` rows."""

    def __init__(self, layer: nn.Module, rows: int, times: int) -> None:
        super().__init__()
        self.layer, self.rows, self.times = layer, rows, times

    def forward(self, hidden: Tensor) -> Tensor:
        """What the layer makes of it, where there is room."""
        if len(hidden) > self.rows and self.times:
            self.times -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.layer(hidden)


def test_a_batch_that_does_not_fit_keeps_no_room_from_its_halves(make_flow: FlowMaker) -> None:
    flow = make_flow()
    inverter = Graphed(flow)
    assert_exact(inverter, prior_noise(2), mixed(2))
    flow.blocks[1].proj_out = Full(flow.blocks[1].proj_out, rows=8, times=2)  # type: ignore[assignment]
    with torch.no_grad(), pytest.raises(torch.OutOfMemoryError):
        inverter.invert(1, prior_noise(8), mixed(8))
    assert not inverter.steps


def test_the_room_of_other_batches_is_given_up_before_one_fails(make_flow: FlowMaker) -> None:
    flow = make_flow()
    inverter, latents = Graphed(flow), prior_noise(8)
    for rows in (1, 2, 4):
        assert_exact(inverter, prior_noise(rows), mixed(rows))
    expected = Graphed(flow).invert(1, latents, mixed(8))
    flow.blocks[1].proj_out = Full(flow.blocks[1].proj_out, rows=8, times=1)  # type: ignore[assignment]
    torch.testing.assert_close(inverter.invert(1, latents, mixed(8)), expected, rtol=0, atol=0)
    assert len(inverter.steps) == 1


def test_no_more_batch_shapes_are_kept_than_the_bound(make_flow: FlowMaker) -> None:
    inverter = Graphed(make_flow())
    for exponent in range(MOST_SHAPES + 2):
        assert_exact(inverter, prior_noise(1 << exponent), plain(1 << exponent))
    assert len(inverter.steps) == MOST_SHAPES


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rule", ["linear", "corrected"])
@pytest.mark.parametrize("annealed", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_step_asks_no_tensor_for_its_values_and_makes_none_on_another_device(
    make_flow: FlowMaker, dtype: torch.dtype, rule: Rule, annealed: bool, scaled: bool
) -> None:
    # On a GPU either would end the capture. Tensors on `meta` have no values, and do not mix with those of a CPU.
    flow = make_flow().float().to("meta")
    for block in flow.blocks:
        block.to(dtype)
    latents = torch.empty(4, 9, 8, device="meta")
    buffers = _Buffers.allocate(flow, requests=4, nulls=4, like=latents)
    guidance = Guidance(latents.new_ones(4), annealed=annealed, rule=rule)
    with torch.no_grad():
        _Step(flow, buffers, guidance, scaled).run(flow.blocks[1], length=7)
