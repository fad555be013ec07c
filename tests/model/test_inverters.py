"""Owns the laws of every way to invert a flow block: each gives the patches of the textbook loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from model import TarFlow
from model.fused import Fused, load_kernel
from model.graphed import Graphed
from model.rounds import Rounds
from model.rows import Rows
from model.stepwise import Inverter, Stepwise
from tests.model.by_prefix import LABELS, Asked, inverted_by_prefix, prior_noise

FlowMaker = Callable[..., TarFlow]
OUTPUT_STD = 0.3


class NoHelp:
    """Where rounds would have to ask for an exact result: they must settle by themselves."""

    def invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        """See `Inverter`."""
        raise AssertionError(f"{len(latents)} rows of block {index} did not settle, guided {rows.guided.tolist()}")


def fused(flow: TarFlow) -> Fused:
    """The compiled loop; where there is no numba there is none."""
    pytest.importorskip("numba")
    kernel = load_kernel()
    assert kernel is not None
    return Fused(flow, kernel, threads=1)


@dataclass(frozen=True)
class Way:
    """A way to invert, the numbers it works in and how near it then comes to the truth."""

    make: Callable[[TarFlow], Inverter]
    dtype: torch.dtype = torch.float64
    atol: float = 1e-9

    def of(self, flow: TarFlow) -> Inverter:
        """This way through a float64 flow, which it turns to its own numbers."""
        return self.make(flow.to(self.dtype))

    @torch.no_grad()
    def check(self, flow: TarFlow, index: int, latents: Tensor, asked: Asked) -> None:
        """The block at `index` of a float64 flow is inverted as by the textbook."""
        expected = inverted_by_prefix(flow.blocks[index], latents, asked)
        found = self.of(flow).invert(index, latents.to(self.dtype), asked.rows(self.dtype))
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=self.atol)


WAYS = {
    "stepwise": Way(Stepwise),
    "graphed": Way(Graphed),
    "rounds": Way(lambda flow: Rounds(flow, NoHelp(), tolerance=1e-10), atol=1e-8),
    "fused": Way(fused, torch.float32, atol=2e-5),
}
MIXED: dict[str, Any] = {"weight": [1.5, 0.0, 2.0, 0.5], "temperature": [0.6, 0.7, 1.0, 1.0]}
ASKED = {
    "plain": Asked.of(0.0),
    "guided": Asked.of(),
    "annealed": Asked.of(annealed=True),
    "corrected": Asked.of(rule="corrected"),
    "corrected and annealed": Asked.of(rule="corrected", annealed=True),
    "scale": Asked.of(guide=("scale",)),
    "shift": Asked.of(guide=("shift",)),
    "corrected shift": Asked.of(guide=("shift",), rule="corrected"),
    "no part": Asked.of(guide=()),
    "blurred": Asked.of(temperature=[0.6, 1.0, 0.8, 0.5]),
    "mixed": Asked.of(**MIXED),
    "all at once": Asked.of(**MIXED, rule="corrected", annealed=True, guide=("scale",)),
    "no class": Asked.of(labels=None, temperature=[0.6, 1.0, 0.8, 0.5]),
    "no class each": Asked.of(labels=torch.full((4,), -1)),
}
KINDS: list[dict[str, Any]] = [
    {"volume_preserving": True},
    {"num_classes": 0},
    {"blocks": 3, "layers_per_block": 3},
    {"layers_per_block": 1},
    {"channels": 32, "head_dim": 16},
    {"channels": 80, "head_dim": 80},
    {"channels": 6, "head_dim": 1},
    {"in_channels": 3},
    {"patch_size": 1},
    {"patch_size": 3, "in_channels": 1},
]


def latents_of(flow: TarFlow, rows: int = len(LABELS)) -> Tensor:
    """Standard normal latents of the flow's size."""
    return torch.randn(rows, flow.config.patches, flow.config.patch_dims, dtype=torch.float64)


@torch.no_grad()
def tamed(flow: TarFlow) -> TarFlow:
    """With log-scales and shifts of one size, however wide and deep the flow is: nothing overflows."""
    for block in flow.blocks:
        output = block.conditioners(latents_of(flow), block.class_vectors(None, len(LABELS)))
        for weight in block.proj_out.parameters():
            weight.mul_(OUTPUT_STD / output.std())
    return flow


each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@each_way
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_a_block_is_inverted_as_by_the_textbook_whatever_is_asked(make_flow: FlowMaker, way: Way, asked: Asked) -> None:
    way.check(tamed(make_flow()), 1, prior_noise(), asked)


@each_way
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_block_is_inverted_as_by_the_textbook_whatever_the_flow(
    make_flow: FlowMaker, way: Way, kind: dict[str, Any]
) -> None:
    flow, asked = tamed(make_flow(**kind)), ASKED["mixed"]
    way.check(flow, 0, latents_of(flow), asked if flow.config.num_classes else asked.without_class())


@each_way
def test_the_block_maps_what_was_inverted_back_to_the_latents(make_flow: FlowMaker, way: Way) -> None:
    flow, latents = tamed(make_flow()), prior_noise().to(way.dtype)
    with torch.no_grad():
        for index, block in enumerate(flow.blocks):
            patches = way.of(flow).invert(index, latents, ASKED["plain"].rows(way.dtype))
            back = block.orient(block(block.orient(patches), LABELS)[0])
            torch.testing.assert_close(back, latents, rtol=0, atol=way.atol)


@each_way
def test_inverting_leaves_the_latents_as_they_were(make_flow: FlowMaker, way: Way) -> None:
    latents = prior_noise().to(way.dtype)
    before = latents.clone()
    with torch.no_grad():
        way.of(make_flow()).invert(1, latents, ASKED["mixed"].rows(way.dtype))
    assert torch.equal(latents, before)


@each_way
def test_patches_once_returned_outlast_the_next_batch(make_flow: FlowMaker, way: Way) -> None:
    inverter, rows = way.of(make_flow()), ASKED["mixed"].rows(way.dtype)
    with torch.no_grad():
        first = inverter.invert(1, prior_noise().to(way.dtype), rows)
        kept = first.clone()
        inverter.invert(1, prior_noise().to(way.dtype), rows)
    assert torch.equal(first, kept)


@each_way
def test_latents_may_lie_in_memory_in_any_order(make_flow: FlowMaker, way: Way) -> None:
    for latents in (prior_noise(8)[::2], prior_noise().permute(2, 1, 0).contiguous().permute(2, 1, 0)):
        assert not latents.is_contiguous()
        way.check(tamed(make_flow()), 1, latents, ASKED["mixed"])


@each_way
def test_an_empty_batch_has_no_patches(make_flow: FlowMaker, way: Way) -> None:
    latents = prior_noise(0).to(way.dtype)
    with torch.no_grad():
        assert way.of(make_flow()).invert(0, latents, Rows.plain(latents)).shape == (0, 9, 8)


@pytest.mark.parametrize(
    ("way", "temperature"),
    [
        ("stepwise", 1.0),
        ("graphed", 1.0),
        ("rounds", 1.0),
        ("stepwise", 0.5),
        ("graphed", 0.5),
        ("rounds", 0.5),
    ],
)
def test_weights_in_half_precision_give_patches_in_that_of_the_latents(
    make_flow: FlowMaker, way: str, temperature: float
) -> None:
    flow, asked, latents = tamed(make_flow()), Asked.of(temperature=temperature), prior_noise()
    expected = inverted_by_prefix(flow.blocks[0], latents, asked)
    for block in flow.float().blocks:
        block.to(torch.bfloat16)
    with torch.no_grad():
        found = Rounds(flow, Stepwise(flow)) if way == "rounds" else WAYS[way].make(flow)
        patches = found.invert(0, latents.float(), asked.rows(torch.float32))
    torch.testing.assert_close(patches, expected.float(), rtol=0, atol=0.1)
