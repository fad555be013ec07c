"""Latents to images: the flow inverted patch by patch, with guidance.

Owns the rows of a sampling batch: every request row, then a null row for each guided one.
Knows nothing of seeds, requests or pixels as bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from model.cache import KeyValueCache
from model.flow import TarFlow
from model.flow_block import FlowBlock
from model.guidance import Guidance, Part, Rule

Method = Literal["auto", "sequential"]


@dataclass(frozen=True)
class _Rows:
    """What each row of the network's batch is: N request rows, then the null rows of `guided`."""

    labels: Tensor | None
    guided: Tensor
    guidance: Guidance
    query_scale: Tensor | None

    def __len__(self) -> int:
        return len(self.guidance.weight) + len(self.guided)


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
        method: `sequential` is exact; `auto` picks the fastest.
        rule: `linear` or `corrected` guidance; see `model.guidance`.

    Raises:
        ValueError: A wrong shape, class, weight, temperature or method; the message names it.
    """
    *_, images = trajectory(flow, noise, labels, guidance, guide, annealed, attention_temperature, method, rule)
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
) -> Iterator[Tensor]:
    """Iterate over the image (N, C, H, W) after each flow block, the noise first: blocks + 1 of them; see `sample`."""
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}, got {method!r}")
    _check_noise(flow, noise)
    flow.check_labels(labels, len(noise))
    weight = _per_row("guidance", guidance, noise, low=0.0)
    temperature = _per_row("attention_temperature", attention_temperature, noise, low=0.0, high=1.0, open_low=True)
    rows = _arrange(labels, Guidance(weight, guide, annealed, rule), temperature)
    cache = KeyValueCache.allocate(flow.config, len(rows), like=noise)
    return _walk(flow, noise, rows, cache)


@torch.no_grad()
def _walk(flow: TarFlow, noise: Tensor, rows: _Rows, cache: KeyValueCache) -> Iterator[Tensor]:
    yield flow.unpatchify(noise)
    patches = noise * flow.var.sqrt()
    for block in reversed(flow.blocks):
        patches = _invert(block, patches, rows, cache)
        yield flow.unpatchify(patches)


def _invert(block: FlowBlock, latents: Tensor, rows: _Rows, cache: KeyValueCache) -> Tensor:
    """Patches x (N, T, D) with block(x) = latents, one patch after the other; equation (5)."""
    ordered = block.orient(latents)
    patches, steps = ordered.clone(), ordered.shape[1] - 1
    class_vectors = block.class_vectors(rows.labels, len(rows))
    for step in range(steps):
        current = patches[:, step]
        if len(rows.guided):
            current = torch.cat([current, current[rows.guided]])
        log_scale, shift = block.step(current, class_vectors, step, cache, rows.query_scale)
        log_scale, shift = _guide(rows, log_scale, shift, step, steps)
        patches[:, step + 1] = ordered[:, step + 1] * log_scale.exp() + shift
    return block.orient(patches)


def _guide(rows: _Rows, log_scale: Tensor, shift: Tensor, step: int, steps: int) -> tuple[Tensor, Tensor]:
    """Fold the null rows into the request rows they belong to."""
    if not len(rows.guided):
        return log_scale, shift
    count = len(rows.guidance.weight)
    conditional = log_scale[:count], shift[:count]
    null = conditional[0].clone(), conditional[1].clone()
    null[0][rows.guided], null[1][rows.guided] = log_scale[count:], shift[count:]
    return rows.guidance.combine(conditional, null, step, steps)


def _arrange(labels: Tensor | None, guidance: Guidance, temperature: Tensor) -> _Rows:
    """Give every row that guidance can move a null row: no class, attention at its temperature."""
    weight = guidance.weight
    movable = temperature != 1 if labels is None else (labels >= 0) | (temperature != 1)
    guided = torch.nonzero((weight != 0) & movable).flatten()
    if labels is not None:
        labels = torch.cat([labels, labels.new_full((len(guided),), -1)])
    query_scale = None
    if bool((temperature[guided] != 1).any()):
        query_scale = torch.cat([torch.ones_like(temperature), 1 / temperature[guided]]).view(-1, 1, 1, 1)
    return _Rows(labels, guided, guidance, query_scale)


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
