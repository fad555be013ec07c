"""The causal pre-LayerNorm Transformer layer of a flow block.

Owns attention and the feed-forward network, and their tensor names in a published
state dict. Knows nothing of flows, patches or classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.cache import KeyValueCache

MLP_EXPANSION = 4


class Attention(nn.Module):
    """Causal multi-head self-attention behind a LayerNorm."""

    def __init__(self, channels: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def project(self, hidden: Tensor, query_scale: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Project (rows, length, channels) to queries, keys and values (rows, heads, length, head_dim)."""
        rows, length, channels = hidden.shape
        split = self.qkv(self.norm(hidden)).view(rows, length, 3, channels // self.head_dim, self.head_dim)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        return (query if query_scale is None else query * query_scale.to(query.dtype)), key, value

    def join(self, heads: Tensor) -> Tensor:
        """Join heads (rows, heads, length, head_dim) and project to (rows, length, channels)."""
        return self.proj(heads.transpose(1, 2).flatten(2))

    def forward(self, hidden: Tensor, query_scale: Tensor | None = None) -> Tensor:
        """Attend causally over whole sequences (rows, length, channels)."""
        query, key, value = self.project(hidden, query_scale)
        return self.join(F.scaled_dot_product_attention(query, key, value, is_causal=True))

    def extend(
        self, hidden: Tensor, layer: int, position: int, cache: KeyValueCache, query_scale: Tensor | None
    ) -> Tensor:
        """Attend causally from the patches from `position` on, (rows, L, channels), to them and the cached ones."""
        query, key, value = self.project(hidden, query_scale)
        keys, values = cache.extend(layer, position, key, value)
        length, mask = hidden.shape[1], None
        if position and length > 1:
            mask = hidden.new_ones(length, position + length, dtype=torch.bool).tril(position)
        causal = not position and length > 1
        return self.join(F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, is_causal=causal))


class FeedForward(nn.Module):
    """Two-layer GELU network behind a LayerNorm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.main = nn.Sequential(
            nn.Linear(channels, MLP_EXPANSION * channels), nn.GELU(), nn.Linear(MLP_EXPANSION * channels, channels)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (rows, length, channels) to the same shape, each position by itself."""
        return self.main(self.norm(hidden))


class TransformerLayer(nn.Module):
    """Attention and feed-forward network, both residual.

    `query_scale`, (rows, 1, 1, 1) or None, multiplies the attention logits row by row:
    the inverse of an attention temperature.
    """

    def __init__(self, channels: int, head_dim: int) -> None:
        super().__init__()
        self.attention = Attention(channels, head_dim)
        self.mlp = FeedForward(channels)

    def forward(self, hidden: Tensor, query_scale: Tensor | None = None) -> Tensor:
        """Transform whole sequences (rows, length, channels), causally."""
        hidden = hidden + self.attention(hidden, query_scale)
        return hidden + self.mlp(hidden)

    def extend(
        self, hidden: Tensor, layer: int, position: int, cache: KeyValueCache, query_scale: Tensor | None
    ) -> Tensor:
        """Transform the patches from `position` on, (rows, L, channels), given the cached ones before them."""
        hidden = hidden + self.attention.extend(hidden, layer, position, cache, query_scale)
        return hidden + self.mlp(hidden)
