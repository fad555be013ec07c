"""A flow block inverted by one compiled loop, on CPUs.

Owns the weights in the order that the loop reads them, and the shares of a batch that go through
it together. Knows nothing of images.
"""

import importlib
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from model.cache import KeyValueCache
from model.config import TarFlowConfig
from model.flow import TarFlow
from model.flow_block import FlowBlock
from model.rows import Rows

# Rows of the network in one share: more, and their keys and values leave the processor's cache.
MOST_ROWS = 32
# Fewer are not worth a thread: what takes the time is reading the weights.
FEWEST_ROWS_OF_A_THREAD = 8

log = logging.getLogger(__name__)


@cache
def load_kernel() -> ModuleType | None:
    """The compiled loop, tried once; None, said once, where there is no numba or it does not work."""
    try:
        kernel = importlib.import_module("model.fused_kernel")
        # Nothing of the caller's: neither its generator, nor the device and the dtype that it takes by default.
        with torch.random.fork_rng(devices=()), torch.device("cpu"):
            tiny = TarFlow(TarFlowConfig(image_size=2, patch_size=1, channels=64, blocks=1, layers_per_block=1))
        noise = torch.zeros(1, 4, 3, dtype=torch.float32, device="cpu")
        rows = Rows.plain(noise)
        Fused(tiny.float(), kernel, threads=1).invert(0, noise, rows)
    except Exception as error:  # Whatever keeps the compiler from working must not keep pictures from being made.
        log.warning("sampling without the compiled step, several times slower: %s: %s", type(error).__name__, error)
        return None
    return kernel


class Fused:
    """T - 1 steps in each block with nothing between them; float32."""

    def __init__(self, flow: TarFlow, kernel: ModuleType, threads: int) -> None:
        """Take a copy of the networks' weights of a float32 flow on a CPU; batches are shared among `threads`."""
        self.flow = flow
        self.kernel = kernel
        self.threads = threads
        self.weights = [_pack(block, kernel) for block in flow.blocks]

    def invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        """See `model.stepwise.Inverter`."""
        shares = max(math.ceil(len(rows) / MOST_ROWS), min(self.threads, len(rows) // FEWEST_ROWS_OF_A_THREAD))
        requests = torch.arange(rows.requests, device=latents.device).chunk(max(shares, 1))
        if len(requests) == 1:
            return self._invert(index, latents, rows)
        with ThreadPoolExecutor(min(self.threads, len(requests))) as threads:
            done = threads.map(lambda share: self._invert(index, latents[share], rows.select(share)), requests)
            return torch.cat(list(done))

    @torch.no_grad()
    def _invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        config, block = self.flow.config, self.flow.blocks[index]
        store = KeyValueCache.allocate(config, len(rows), like=latents)
        class_vectors = block.class_vectors(rows.labels, len(rows))
        query_scale = latents.new_ones(len(rows)) if rows.query_scale is None else rows.query_scale.flatten()
        guidance = rows.guidance
        latents, patches = latents.contiguous(), torch.empty_like(latents, memory_format=torch.contiguous_format)
        self.kernel.invert_block(
            self.weights[index],
            latents.numpy(),
            self.kernel.RowArrays(
                guided=rows.guided.numpy(),
                null_rows=rows.null_rows().numpy(),
                guidance=guidance.weight.contiguous().numpy(),
                query_scale=query_scale.contiguous().numpy(),
                class_vectors=_class_vectors(class_vectors, latents.new_zeros(len(rows), config.channels)),
            ),
            self.kernel.GuidanceRule(
                guidance.annealed, guidance.rule == "corrected", "scale" in guidance.guide, "shift" in guidance.guide
            ),
            self.kernel.Store(store.keys.numpy(), store.values.numpy()),
            patches.numpy(),
        )
        return patches


def _class_vectors(vectors: Tensor | None, zeros: Tensor) -> Any:
    return (zeros if vectors is None else vectors.squeeze(1).contiguous()).numpy()


@torch.no_grad()
def _pack(block: FlowBlock, kernel: ModuleType) -> Any:
    """The weights of a block as the kernel's `BlockWeights`."""

    def panels(weight: Tensor) -> Tensor:
        outputs, inputs = weight.shape
        padded = nn.functional.pad(weight, (0, 0, 0, -outputs % kernel.PANEL))
        return padded.view(-1, kernel.PANEL, inputs).transpose(1, 2)

    def padded(bias: Tensor) -> Tensor:
        return nn.functional.pad(bias, (0, -len(bias) % kernel.PANEL))

    def by_layer(part: Callable[[Any], Tensor]) -> Tensor:
        return torch.stack([part(layer) for layer in block.attn_blocks])

    # A volume-preserving block has no log-scales: let them be 0.
    factors = (0, 1) if block.volume_preserving else (1,)
    out_weight, out_bias = (
        torch.cat([factor * part for factor in factors]) for part in (block.proj_out.weight, block.proj_out.bias)
    )
    parts = {
        "in_weight": panels(block.proj_in.weight),
        "in_bias": padded(block.proj_in.bias),
        "positions": block.positions(),
        "attention_norm_weight": by_layer(lambda layer: layer.attention.norm.weight),
        "attention_norm_bias": by_layer(lambda layer: layer.attention.norm.bias),
        "qkv_weight": by_layer(lambda layer: panels(layer.attention.qkv.weight)),
        "qkv_bias": by_layer(lambda layer: padded(layer.attention.qkv.bias)),
        "proj_weight": by_layer(lambda layer: panels(layer.attention.proj.weight)),
        "proj_bias": by_layer(lambda layer: padded(layer.attention.proj.bias)),
        "mlp_norm_weight": by_layer(lambda layer: layer.mlp.norm.weight),
        "mlp_norm_bias": by_layer(lambda layer: layer.mlp.norm.bias),
        "up_weight": by_layer(lambda layer: panels(layer.mlp.main[0].weight)),
        "up_bias": by_layer(lambda layer: padded(layer.mlp.main[0].bias)),
        "down_weight": by_layer(lambda layer: panels(layer.mlp.main[2].weight)),
        "down_bias": by_layer(lambda layer: padded(layer.mlp.main[2].bias)),
        "out_weight": panels(out_weight),
        "out_bias": padded(out_bias),
    }
    return kernel.BlockWeights(
        **{name: part.detach().clone(memory_format=torch.contiguous_format).numpy() for name, part in parts.items()}
    )
