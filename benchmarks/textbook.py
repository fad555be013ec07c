"""TarFlow sampling as a textbook would write it: the yardstick of our own.

Owns the plain loop of arXiv 2412.06329, section 3.4: a key-value cache that is concatenated
at every step, and guidance by a second pass with a cache of its own. Exact, and kept plain
on purpose. Knows nothing of how fast it should be.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from model import TarFlow
from model.flow_block import FlowBlock
from model.transformer import Attention

Cache = list[tuple[Tensor, Tensor] | None]


@torch.no_grad()
def textbook_sample(flow: TarFlow, noise: Tensor, labels: Tensor | None, guidance: float) -> Tensor:
    """Images (N, C, H, W), unclipped, from noise (N, T, D) under labels (N,); linear guidance, one weight."""
    patches = noise * flow.var.sqrt()
    for block in reversed(flow.blocks):
        patches = _invert(block, patches, labels, guidance)
    return flow.unpatchify(patches)


def _invert(block: FlowBlock, latents: Tensor, labels: Tensor | None, guidance: float) -> Tensor:
    latents = block.orient(latents)
    patches = latents.clone()
    conditional: Cache = [None] * len(block.attn_blocks)
    null: Cache = [None] * len(block.attn_blocks)
    for step in range(patches.shape[1] - 1):
        patch = patches[:, step : step + 1]
        log_scale, shift = _predict(block, patch, block.class_vectors(labels, len(patch)), step, conditional)
        if guidance:
            null_scale, null_shift = _predict(block, patch, block.class_vectors(None, len(patch)), step, null)
            log_scale = log_scale + guidance * (log_scale - null_scale)
            shift = shift + guidance * (shift - null_shift)
        patches[:, step + 1] = latents[:, step + 1] * log_scale.exp() + shift
    return block.orient(patches)


def _predict(
    block: FlowBlock, patch: Tensor, class_vectors: Tensor | None, step: int, cache: Cache
) -> tuple[Tensor, Tensor]:
    """Log-scale and shift, each (N, D), of the patch after `step`."""
    hidden = block.proj_in(patch.to(block.proj_in.weight.dtype)) + block.positions()[step]
    if class_vectors is not None:
        hidden = hidden + class_vectors
    for index, layer in enumerate(block.attn_blocks):
        hidden = hidden + _attend(layer.attention, hidden, index, cache)
        hidden = hidden + layer.mlp(hidden)
    return block.affine(block.proj_out(hidden).squeeze(1))


def _attend(attention: Attention, hidden: Tensor, index: int, cache: Cache) -> Tensor:
    rows, _, channels = hidden.shape
    split = attention.qkv(attention.norm(hidden)).view(rows, 1, 3, -1, attention.head_dim)
    query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
    before = cache[index]
    if before is not None:
        key, value = torch.cat([before[0], key], dim=2), torch.cat([before[1], value], dim=2)
    cache[index] = (key, value)
    attended = F.scaled_dot_product_attention(query, key, value)
    return attention.proj(attended.transpose(1, 2).reshape(rows, 1, channels))
