"""A flow block inverted by replaying captured CUDA graphs.

Owns the buffers of a batch shape, the step that reads and writes only these, and one graph per
block and length of the cache. Knows nothing of images.
"""

import contextlib
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from model.cache import KeyValueCache
from model.flow import TarFlow
from model.flow_block import FlowBlock
from model.guidance import Guidance
from model.rows import Rows

# A step attends to all of a bucket under a mask: more buckets read less, fewer are captured sooner.
LENGTH_BUCKET = 128
WARM_UP_STEPS = 2
# Batch shapes whose buffers and graphs are kept.
MOST_SHAPES = 8


class Graphed:
    """T - 1 steps in each block, each one graph launch; the host never waits inside a block.

    Batches are padded to a few sizes, each with buffers and graphs of its own, kept for the next
    batch of that size. On a CPU the same step runs without capture.
    """

    def __init__(self, flow: TarFlow) -> None:
        """Capture nothing yet; the first batch of a size does."""
        self.flow = flow
        self.steps: dict[tuple[object, ...], _Step] = {}

    @torch.no_grad()
    def invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        """See `model.stepwise.Inverter`."""
        requests, nulls = _bucket(rows.requests), _bucket(len(rows.guided))
        guidance, scaled = rows.guidance, rows.query_scale is not None
        key = (requests, nulls, guidance.guide, guidance.annealed, guidance.rule, scaled)
        if key not in self.steps:
            self.steps[key] = _Step(self.flow, _Buffers.allocate(self.flow, requests, nulls, latents), guidance, scaled)
        step = self.steps[key] = self.steps.pop(key)  # The last is the latest.
        if len(self.steps) > MOST_SHAPES:
            del self.steps[next(iter(self.steps))]
        with torch.cuda.device(latents.device) if latents.is_cuda else contextlib.nullcontext():
            graphs = step.capture(index)
            step.buffers.load(self.flow.blocks[index], latents, rows)
            for position in range(latents.shape[1] - 1):
                graphs[position // LENGTH_BUCKET].replay()
            return step.buffers.patches[: rows.requests].clone()


def _bucket(rows: int) -> int:
    """The smallest power of two that holds `rows`, 0 for none."""
    return 1 << (rows - 1).bit_length() if rows else 0


@dataclass(frozen=True)
class _Buffers:
    """Everything that a step reads or writes, for N request rows and G null rows; M = N + G.

    Attributes:
        position: () int64, the patch the step starts from; it moves itself on.
        latents: (N, T, D).
        patches: (N, T, D).
        request_of: (M,) the request row of each row.
        null_of: (N,) the row that guides each request row; itself, where none does.
        weight: (N,) guidance.
        class_vectors: (M, 1, channels).
        query_scale: (M, 1, 1, 1).
        cache: Keys and values of M rows.
    """

    position: Tensor
    latents: Tensor
    patches: Tensor
    request_of: Tensor
    null_of: Tensor
    weight: Tensor
    class_vectors: Tensor
    query_scale: Tensor
    cache: KeyValueCache

    @classmethod
    def allocate(cls, flow: TarFlow, requests: int, nulls: int, like: Tensor) -> "_Buffers":
        """Buffers of zeros on the flow's device."""
        config, rows, weights = flow.config, requests + nulls, flow.blocks[0].pos_embed
        integers = torch.zeros(rows, dtype=torch.int64, device=like.device)
        return cls(
            position=torch.zeros((), dtype=torch.int64, device=like.device),
            latents=like.new_zeros(requests, *like.shape[1:]),
            patches=like.new_zeros(requests, *like.shape[1:]),
            request_of=integers,
            null_of=integers[:requests].clone(),
            weight=like.new_zeros(requests),
            class_vectors=weights.new_zeros(rows, 1, config.channels),
            query_scale=weights.new_ones(rows, 1, 1, 1),
            cache=KeyValueCache.allocate(config, rows, like=weights),
        )

    def load(self, block: FlowBlock, latents: Tensor, rows: Rows) -> None:
        """Take in a batch; rows beyond it compute something that nobody reads."""
        count, first_null, guided = rows.requests, len(self.latents), len(rows.guided)
        self.position.zero_()
        # The mask hides what is not written yet, but not a NaN that an earlier batch left there.
        self.cache.keys.zero_()
        self.cache.values.zero_()
        self.latents[:count] = latents
        self.patches[:, 0] = self.latents[:, 0]
        self.request_of.zero_()
        self.request_of[:count] = torch.arange(count, device=latents.device)
        self.request_of[first_null : first_null + guided] = rows.guided
        self.null_of.copy_(torch.arange(first_null, device=latents.device))
        self.null_of[rows.guided] = torch.arange(first_null, first_null + guided, device=latents.device)
        self.weight.zero_()
        self.weight[:count] = rows.guidance.weight
        for mine, given in (
            (self.class_vectors, block.class_vectors(rows.labels, len(rows))),
            (self.query_scale, rows.query_scale),
        ):
            if given is not None:
                mine[:count] = given[:count]
                mine[first_null : first_null + guided] = given[count:]


class _Eager:
    """A step where there is nothing to capture it with."""

    def __init__(self, step: "_Step", block: FlowBlock, length: int) -> None:
        self.step, self.block, self.length = step, block, length

    def replay(self) -> None:
        """Run the step."""
        self.step.run(self.block, self.length)


@dataclass(frozen=True)
class _Step:
    """One patch further, for one batch shape and one kind of guidance."""

    flow: TarFlow
    buffers: _Buffers
    guidance: Guidance
    scaled: bool
    graphs: "dict[int, list[torch.cuda.CUDAGraph | _Eager]]" = field(default_factory=dict)

    def capture(self, index: int) -> "list[torch.cuda.CUDAGraph | _Eager]":
        """The graphs of a block, by length; captured now if they were not."""
        if index not in self.graphs:
            block, steps = self.flow.blocks[index], self.flow.config.patches - 1
            lengths = [min(end, steps) for end in range(LENGTH_BUCKET, steps + LENGTH_BUCKET, LENGTH_BUCKET)]
            self.graphs[index] = [self._capture(block, length) for length in lengths]
        return self.graphs[index]

    def _capture(self, block: FlowBlock, length: int) -> "torch.cuda.CUDAGraph | _Eager":
        if not self.buffers.patches.is_cuda:
            return _Eager(self, block, length)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                self.buffers.position.zero_()
                self.run(block, length)
        torch.cuda.current_stream().wait_stream(side)
        self.buffers.position.zero_()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.run(block, length)
        return graph

    def run(self, block: FlowBlock, length: int) -> None:
        """Predict the patch after `position` from the `length` first of the cache, and move on."""
        buffers, steps = self.buffers, self.flow.config.patches - 1
        here = buffers.position.view(1)
        current = buffers.patches.index_select(1, here)[buffers.request_of].to(block.proj_in.weight.dtype)
        hidden = block.proj_in(current) + block.positions().index_select(0, here) + buffers.class_vectors
        seen = (torch.arange(length, device=here.device) <= here).view(1, 1, 1, length)
        for number, layer in enumerate(block.attn_blocks):
            query, key, value = layer.attention.project(hidden, buffers.query_scale if self.scaled else None)
            keys, values = buffers.cache.keys[number], buffers.cache.values[number]
            keys.index_copy_(2, here, key)
            values.index_copy_(2, here, value)
            attended = F.scaled_dot_product_attention(query, keys[:, :, :length], values[:, :, :length], attn_mask=seen)
            hidden = hidden + layer.attention.join(attended)
            hidden = hidden + layer.mlp(hidden)
        log_scale, shift = block.affine(block.proj_out(hidden))
        if len(log_scale) > len(buffers.patches):
            conditional, null = (
                (log_scale[rows], shift[rows]) for rows in (slice(len(buffers.patches)), buffers.null_of)
            )
            guidance = replace(self.guidance, weight=buffers.weight)
            log_scale, shift = guidance.combine(conditional, null, (here + 1) / steps)
        following = here + 1
        renewed = buffers.latents.index_select(1, following) * log_scale.exp() + shift
        buffers.patches.index_copy_(1, following, renewed.to(buffers.patches.dtype))
        buffers.position.add_(1)
