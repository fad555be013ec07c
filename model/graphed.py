"""A flow block inverted by replaying captured CUDA graphs.

Owns the buffers of a batch shape, the step that reads and writes only these, and one graph per
block and length of the cache. Knows nothing of images.
"""

import contextlib
import math
import threading
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from model.cache import KeyValueCache
from model.flow import TarFlow
from model.flow_block import FlowBlock
from model.guidance import Guidance
from model.memory import is_out_of_memory
from model.rows import Rows

# A step attends to all of a bucket under a mask: more buckets read less, fewer are captured sooner.
LENGTH_BUCKET = 128
WARM_UP_STEPS = 2
# Batch shapes whose buffers and graphs are kept.
MOST_SHAPES = 8
# Rows of a mask that do not begin at a multiple of so many values are copied in every layer.
ALIGNED_VALUES = 8


class Graphed:
    """T - 1 steps in each block, each one graph launch; the host never waits inside a block.

    Batches are padded to a few sizes, each with buffers and graphs of its own, kept for the next
    batch of that size. On a CPU the same step runs without capture. Threads that share it take turns, block by block.
    """

    def __init__(self, flow: TarFlow) -> None:
        """Capture nothing yet; the first batch of a size does."""
        self.flow = flow
        self.steps: dict[tuple[object, ...], _Step] = {}
        self.lock = threading.Lock()  # of `steps`, and of the buffers in them

    @torch.no_grad()
    def invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        """See `model.stepwise.Inverter`; where memory is short, the buffers of other batches are given up first."""
        with self.lock:
            return self._invert_again(index, latents, rows)

    def _invert_again(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        """As `_invert`, and once again where memory is short."""
        try:
            return self._invert(index, latents, rows)
        except Exception as error:
            self.steps.clear()  # What failed is no use, and would take the room of the halves that are tried next.
            if not is_out_of_memory(error):
                raise
        # Here the failed attempt's tensors are gone, as they are not while its error is being handled.
        torch.cuda.empty_cache()
        try:
            return self._invert(index, latents, rows)
        except Exception:
            self.steps.clear()
            raise

    def _invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        requests, nulls = _bucket(rows.requests), _bucket(len(rows.guided))
        guidance, scaled = rows.guidance, rows.query_scale is not None
        key = (requests, nulls, guidance.guide, guidance.annealed, guidance.rule, scaled)
        step = self.steps.pop(key, None)
        if step is None:
            if len(self.steps) == MOST_SHAPES:
                del self.steps[next(iter(self.steps))]
            buffers = _Buffers.allocate(self.flow, requests, nulls, latents)
            pool = torch.cuda.graph_pool_handle() if latents.is_cuda else None
            step = _Step(self.flow, buffers, guidance, scaled, pool)
        self.steps[key] = step  # The last is the latest.
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
        positions: (T, channels) position embeddings, in the block's order.
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
    positions: Tensor
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
            positions=torch.zeros_like(weights),
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
        self.positions.copy_(block.positions())
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
    """One patch further, for one batch shape and one kind of guidance.

    `pool` is the memory that all of its graphs compute in: none leaves anything there that another reads.
    """

    flow: TarFlow
    buffers: _Buffers
    guidance: Guidance
    scaled: bool
    pool: Any = None
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
        side, graph = _side_stream(self.buffers.patches.device), torch.cuda.CUDAGraph()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # around the capture, too: where that fails, torch leaves its stream current
            for _ in range(WARM_UP_STEPS):
                self.buffers.position.zero_()
                self.run(block, length)
            self.buffers.position.zero_()
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(graph, pool=self.pool, stream=side, capture_error_mode="thread_local"):
                self.run(block, length)
        torch.cuda.current_stream().wait_stream(side)
        return graph

    def run(self, block: FlowBlock, length: int) -> None:
        """Predict the patch after `position` from the `length` first of the cache, and move on."""
        buffers, steps = self.buffers, self.flow.config.patches - 1
        here = buffers.position.view(1)
        current = buffers.patches.index_select(1, here)[buffers.request_of].to(block.proj_in.weight.dtype)
        hidden = block.proj_in(current) + buffers.positions.index_select(0, here) + buffers.class_vectors
        mask = _mask(here, length, hidden.dtype)
        for number, layer in enumerate(block.attn_blocks):
            query, key, value = layer.attention.project(hidden, buffers.query_scale if self.scaled else None)
            keys, values = buffers.cache.keys[number], buffers.cache.values[number]
            keys.index_copy_(2, here, key)
            values.index_copy_(2, here, value)
            attended = F.scaled_dot_product_attention(query, keys[:, :, :length], values[:, :, :length], attn_mask=mask)
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


def _mask(here: Tensor, length: int, dtype: torch.dtype) -> Tensor:
    """What is added to the logits of `length` keys, (1, 1, 1, length): nothing up to the position `here`, else -inf."""
    unseen = torch.arange(length + -length % ALIGNED_VALUES, device=here.device) > here
    mask = torch.zeros(unseen.shape, dtype=dtype, device=here.device).masked_fill(unseen, -math.inf)
    return mask.view(1, 1, 1, -1)[..., :length]


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream that graphs are captured on; one, for cuBLAS keeps tens of MiB for every stream it has seen."""
    return torch.cuda.Stream(device)
