"""Latents to images: the flow inverted block by block, with guidance.

Owns the way through the blocks, by method and plan, and the checks on what enters. Knows nothing
of seeds, requests or pixels as bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from model.flow import TarFlow
from model.fused import Fused, load_kernel
from model.graphed import Graphed
from model.guidance import Guidance, Part, Rule
from model.plan import Plan, calibrate
from model.rounds import Rounds
from model.rows import Rows
from model.stepwise import Inverter, Stepwise

Method = Literal["auto", "sequential", "parallel"]


@dataclass(frozen=True)
class Sampler:
    """A flow made ready to be sampled many times: weights in the order they are read, graphs, a plan.

    It may hold a copy of the weights: a flow that is trained on needs a new one.

    Attributes:
        flow: The flow.
        exact: The serial way, the fastest there is on its device.
        rounds: The parallel way, whose every result is checked and else replaced by the exact one.
        plan: Where `auto` takes which.
    """

    flow: TarFlow
    exact: Inverter
    rounds: Inverter
    plan: Plan

    @classmethod
    def prepare(cls, flow: TarFlow, threads: int | None = None) -> Self:
        """Choose the exact way for the flow's device and dtype.

        Args:
            flow: The flow.
            threads: That share a batch on a CPU; default torch's own number.
        """
        exact = _exact(flow, threads or torch.get_num_threads())
        return cls(flow, exact, Rounds(flow, exact), Plan())

    def calibrated(self) -> Self:
        """With a plan measured on this machine; until then `auto` is `sequential`."""
        return replace(self, plan=calibrate(self.flow, self.exact, self.rounds))

    @property
    def rows_are_independent(self) -> bool:
        """Whether a picture is the same to the last bit in a batch of any size."""
        return isinstance(self.exact, Fused)

    @torch.no_grad()
    def walk(self, noise: Tensor, rows: Rows, method: Method = "auto") -> Iterator[Tensor]:
        """Iterate over the image after each flow block, the noise first; arguments are trusted."""
        yield self.flow.unpatchify(noise)
        patches = self.start(noise)
        for index in reversed(range(self.flow.config.blocks)):
            patches = self.invert(index, patches, rows, method)
            yield self.flow.unpatchify(patches)

    def start(self, noise: Tensor) -> Tensor:
        """What the last block is inverted from: latents (N, T, D) of the prior for standard normal noise."""
        return noise * self.flow.var.sqrt()

    @torch.no_grad()
    def invert(self, index: int, patches: Tensor, rows: Rows, method: Method = "auto") -> Tensor:
        """Patches (N, T, D) that the block at `index` maps to the given ones; blocks go from last to first."""
        block = self.flow.blocks[index]
        rounds = method == "parallel" or (method == "auto" and self.plan.pays(index, len(rows)))
        inverter = self.rounds if rounds else self.exact
        return block.orient(inverter.invert(index, block.orient(patches), rows))


def _exact(flow: TarFlow, threads: int) -> Inverter:
    if flow.var.is_cuda:
        return Graphed(flow)
    if flow.var.device.type == "cpu" and flow.blocks[0].pos_embed.dtype == torch.float32:
        kernel = load_kernel()
        if kernel is not None:
            return Fused(flow, kernel, threads)
    return Stepwise(flow)


def sample(
    flow: TarFlow,
    noise: Tensor,
    labels: Tensor | None = None,
    guidance: float | Tensor = 2.0,
    guide: tuple[Part, ...] = ("scale", "shift"),
    annealed: bool = False,
    attention_temperature: float | Tensor = 1.0,
    method: Method = "auto",
    rule: Rule = "linear",
    sampler: Sampler | None = None,
) -> Tensor:
    """Images (N, C, H, W), unclipped, made from noise (N, T, D): with guidance 0, x with flow(x) = noise * sqrt(var).

    Args:
        flow: The flow to invert.
        noise: (N, T, D) standard normal.
        labels: (N,) int64 in -1..num_classes-1, -1 = no class; None = no class for all.
        guidance: Weight, at least 0, one for all or (N,) one per row. Rows of weight 0 cost no null branch.
        guide: Which affine parts are guided: `scale`, `shift` or both.
        annealed: Let the weight grow linearly within each block.
        attention_temperature: Divides the null branch's attention logits, in (0, 1], one for all or (N,).
            What makes guidance work without a class (arXiv 2412.06329, section 3.4).
        method: `sequential` is exact. `parallel` inverts whole blocks in rounds; each result is checked, and
            comes from the exact way where it fails (`model.rounds`). `auto` goes by the sampler's plan.
        rule: `linear` or `corrected` guidance; see `model.guidance`.
        sampler: `Sampler.prepare(flow)`, to sample often; without one, it is prepared for this call.

    Raises:
        ValueError: A wrong shape, class, weight, temperature or method; the message names it.
    """
    options = (guidance, guide, annealed, attention_temperature, method, rule, sampler)
    images = noise
    for images in trajectory(flow, noise, labels, *options):  # noqa: B007 - the others need not be kept
        pass
    return images


def trajectory(
    flow: TarFlow,
    noise: Tensor,
    labels: Tensor | None = None,
    guidance: float | Tensor = 2.0,
    guide: tuple[Part, ...] = ("scale", "shift"),
    annealed: bool = False,
    attention_temperature: float | Tensor = 1.0,
    method: Method = "auto",
    rule: Rule = "linear",
    sampler: Sampler | None = None,
) -> Iterator[Tensor]:
    """Iterate over the image (N, C, H, W) after each flow block, the noise first: blocks + 1 of them; see `sample`."""
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}, got {method!r}")
    if sampler is not None and sampler.flow is not flow:
        raise ValueError("sampler must have been prepared for this flow")
    _check_noise(flow, noise)
    flow.check_labels(labels, len(noise))
    weight = _per_row("guidance", guidance, noise, low=0.0)
    temperature = _per_row("attention_temperature", attention_temperature, noise, low=0.0, high=1.0, open_low=True)
    rows = Rows.arrange(labels, Guidance(weight, guide, annealed, rule), temperature)
    return (sampler or Sampler.prepare(flow)).walk(noise, rows, method)


def _check_noise(flow: TarFlow, noise: Tensor) -> None:
    expected = (flow.config.patches, flow.config.patch_dims)
    if noise.ndim != 3 or tuple(noise.shape[1:]) != expected:
        raise ValueError(f"noise must have shape (N, {expected[0]}, {expected[1]}), got {tuple(noise.shape)}")
    if noise.dtype != flow.var.dtype:
        raise ValueError(f"noise must be {flow.var.dtype}, got {noise.dtype}")


def _per_row(
    name: str, value: float | Tensor, noise: Tensor, low: float, high: float = float("inf"), open_low: bool = False
) -> Tensor:
    """`value` as (N,) like noise, checked against its bounds."""
    rows = torch.as_tensor(value, dtype=noise.dtype, device=noise.device)
    if rows.ndim > 1 or (rows.ndim == 1 and len(rows) != len(noise)):
        raise ValueError(f"{name} must be a number or ({len(noise)},), got shape {tuple(rows.shape)}")
    rows = rows.expand(len(noise))
    inside = ((rows > low) if open_low else (rows >= low)) & (rows <= high) & rows.isfinite()
    if not bool(inside.all()):
        bounds = f"{'(' if open_low else '['}{low:g}, {high:g}]"
        raise ValueError(f"{name} must be finite and lie in {bounds}, got {rows[~inside][0].item():g}")
    return rows
