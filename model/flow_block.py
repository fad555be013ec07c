"""One autoregressive affine flow block over a sequence of patches.

Owns the direction of the block and the affine map of equation (4) of arXiv 2412.06329.
Knows nothing of images, guidance or the prior.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from model.cache import KeyValueCache
from model.config import TarFlowConfig
from model.transformer import TransformerLayer

INITIAL_EMBEDDING_STD = 1e-2


class FlowBlock(nn.Module):
    """z_0 = x_0 and z_i = (x_i - m_i) * exp(-a_i), where (a_i, m_i) depend on the patches before i.

    `backward_order` is fixed by the block's place in the flow: the patches, and the position
    embeddings with them, are then taken from last to first. Sequences that enter or leave
    through `orient` are in the block's own order everywhere else.
    """

    proj_in: nn.Linear
    proj_out: nn.Linear
    class_embed: nn.Parameter
    attn_blocks: Sequence[TransformerLayer]

    def __init__(self, config: TarFlowConfig, backward_order: bool) -> None:
        super().__init__()
        self.backward_order = backward_order
        self.volume_preserving = config.volume_preserving
        self.proj_in = nn.Linear(config.patch_dims, config.channels)
        self.pos_embed = nn.Parameter(torch.randn(config.patches, config.channels) * INITIAL_EMBEDDING_STD)
        if config.num_classes:
            embeddings = torch.randn(config.num_classes, 1, config.channels) * INITIAL_EMBEDDING_STD
            self.class_embed = nn.Parameter(embeddings)
        layers = (TransformerLayer(config.channels, config.head_dim) for _ in range(config.layers_per_block))
        self.attn_blocks = cast("Sequence[TransformerLayer]", nn.ModuleList(layers))
        self.proj_out = nn.Linear(config.channels, config.patch_dims * (1 if config.volume_preserving else 2))
        nn.init.zeros_(self.proj_out.weight)

    def orient(self, sequence: Tensor) -> Tensor:
        """Turn (N, T, ...) from image order into the block's order, or back."""
        return sequence.flip(1) if self.backward_order else sequence

    def positions(self) -> Tensor:
        """Position embeddings (T, channels) in the block's order."""
        return self.pos_embed.flip(0) if self.backward_order else self.pos_embed

    def class_vectors(self, labels: Tensor | None, rows: int) -> Tensor | None:
        """Class vectors (rows, 1, channels); label -1 and no labels take the mean embedding."""
        if not hasattr(self, "class_embed"):
            return None
        mean = self.class_embed.mean(dim=0)
        if labels is None:
            return mean.expand(rows, 1, -1)
        return torch.where(labels.view(-1, 1, 1) < 0, mean, self.class_embed[labels.clamp(min=0)])

    def affine(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Split the network's output (..., D or 2D) into log-scale a and shift m, each (..., D)."""
        # With weights in half precision the log-determinant would lose its small terms: keep both in float32.
        output = output.float() if output.dtype in (torch.bfloat16, torch.float16) else output
        if self.volume_preserving:
            return torch.zeros_like(output), output
        log_scale, shift = output.chunk(2, dim=-1)
        return log_scale, shift

    def conditioners(self, patches: Tensor, class_vectors: Tensor | None, query_scale: Tensor | None = None) -> Tensor:
        """Output (rows, L, D or 2D) for the patches after each of the first L, (rows, L, D), in the block's order."""
        hidden = self._embed(patches, self.positions()[: patches.shape[1]], class_vectors)
        for layer in self.attn_blocks:
            hidden = layer(hidden, query_scale)
        # Autocast would round log-scales and shifts to eight bits, and the log-determinant is their sum.
        with torch.autocast(hidden.device.type, enabled=False):
            return self.proj_out(hidden.to(self.proj_out.weight.dtype))

    def forward(self, patches: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map patches (N, T, D), in image order, to latents and log|det| per patch (N, T), in nats."""
        ordered = self.orient(patches)
        # The last patch conditions nothing, so the network never sees it.
        output = self.conditioners(ordered[:, :-1], self.class_vectors(labels, len(patches)))
        log_scale, shift = self.affine(output)
        moved = (ordered[:, 1:] - shift) * torch.exp(-log_scale)
        latents = torch.cat([ordered[:, :1].to(moved.dtype), moved], dim=1)
        log_abs_det = nn.functional.pad(-log_scale.sum(dim=2), (1, 0))
        return self.orient(latents), self.orient(log_abs_det)

    def extend(
        self,
        patches: Tensor,
        class_vectors: Tensor | None,
        position: int,
        cache: KeyValueCache,
        query_scale: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Log-scale and shift (rows, L, D) of the patches after each of those from `position` on, (rows, L, D)."""
        hidden = self._embed(patches, self.positions()[position : position + patches.shape[1]], class_vectors)
        for index, layer in enumerate(self.attn_blocks):
            hidden = layer.extend(hidden, index, position, cache, query_scale)
        return self.affine(self.proj_out(hidden))

    def _embed(self, patches: Tensor, positions: Tensor, class_vectors: Tensor | None) -> Tensor:
        """Hidden states (rows, L, channels) of patches (rows, L, D), in the dtype of the weights."""
        hidden = self.proj_in(patches.to(self.proj_in.weight.dtype)) + positions
        return hidden if class_vectors is None else hidden + class_vectors
