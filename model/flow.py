"""TarFlow: images to latents and their exact log-likelihood.

Owns the stack of flow blocks, the prior and the checks on what enters. Knows nothing of
sampling, files or training.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.config import TarFlowConfig
from model.flow_block import FlowBlock
from model.patches import patchify, unpatchify


class TarFlow(nn.Module):
    """Transformer autoregressive flow (Zhai et al., arXiv 2412.06329).

    Block b takes the patches in raster order for even b and backwards for odd b. The prior
    is a standard normal; a volume-preserving flow has N(0, `var`) with `var` a buffer (T, D).
    """

    var: Tensor
    blocks: Sequence[FlowBlock]

    def __init__(self, config: TarFlowConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("var", torch.ones(config.patches, config.patch_dims))
        blocks = (FlowBlock(config, backward_order=bool(b % 2)) for b in range(config.blocks))
        self.blocks = cast("Sequence[FlowBlock]", nn.ModuleList(blocks))

    def patchify(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) as patches (N, T, D)."""
        return patchify(images, self.config.patch_size)

    def unpatchify(self, patches: Tensor) -> Tensor:
        """Patches (N, T, D) as images (N, C, H, W)."""
        return unpatchify(patches, self.config.patch_size, self.config.image_size)

    def check_images(self, images: Tensor) -> None:
        """Raise ValueError unless images are (N, C, H, W) floats of this flow's size."""
        expected = (self.config.in_channels, self.config.image_size, self.config.image_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise ValueError(f"images must have shape (N, {', '.join(map(str, expected))}), got {tuple(images.shape)}")
        if images.dtype != self.var.dtype:
            raise ValueError(f"images must be {self.var.dtype} in [-1, 1], got {images.dtype}")

    def check_labels(self, labels: Tensor | None, rows: int) -> None:
        """Raise ValueError unless labels are None or (rows,) int64 in -1..num_classes-1."""
        if labels is None:
            return
        if labels.shape != (rows,) or labels.dtype != torch.int64:
            raise ValueError(f"labels must be ({rows},) int64, got {tuple(labels.shape)} {labels.dtype}")
        wrong = labels[(labels < -1) | (labels >= self.config.num_classes)]
        if len(wrong):
            raise ValueError(
                f"labels must lie in -1..{self.config.num_classes - 1} (-1 = no class), got {wrong[0].item()}"
            )

    def encode(
        self, images: Tensor, labels: Tensor | None = None, recompute: bool = False, checked: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Latents (N, T, D) and log|det| by block and patch (N, B, T), in nats.

        Args:
            images: (N, C, H, W) in [-1, 1].
            labels: (N,) int64 in -1..num_classes-1, -1 = no class; None = no class for all.
            recompute: Keep no activations for a gradient but those between blocks; a third slower, far smaller.
            checked: False trusts the arguments: to look at labels, the host must wait for a GPU.

        Raises:
            ValueError: A wrong shape, dtype or class.
        """
        log_abs_dets = []
        for latents, log_abs_det in self.passes(images, labels, recompute, checked):  # noqa: B007 - the last are wanted
            log_abs_dets.append(log_abs_det)
        return latents, torch.stack(log_abs_dets, dim=1)

    def passes(
        self, images: Tensor, labels: Tensor | None = None, recompute: bool = False, checked: bool = True
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The patches (N, T, D) after each block, and the block's log|det| by patch (N, T); otherwise as `encode`."""
        if checked:
            self.check_images(images)
            self.check_labels(labels, len(images))
        patches = self.patchify(images)
        for block in self.blocks:
            run = partial(checkpoint, block, use_reentrant=False) if recompute else block
            patches, log_abs_det = run(patches, labels)
            yield patches, log_abs_det

    def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Latents (N, T, D) and the log|det| of the whole map (N,), in nats; arguments as `encode`."""
        latents, log_abs_dets = self.encode(images, labels)
        return latents, log_abs_dets.sum(dim=(1, 2))

    def standard_log_prob(
        self, images: Tensor, labels: Tensor | None = None, recompute: bool = False, checked: bool = True
    ) -> Tensor:
        """Log-density (N,), in nats, under a standard normal prior whatever `var` is; arguments as `encode`.

        What training maximises and denoising differentiates, in the published code too: the
        variance of a volume-preserving flow's latents is estimated beside the gradient.
        """
        latents, log_abs_dets = self.encode(images, labels, recompute, checked)
        energy = latents.square() + math.log(2 * math.pi)
        return log_abs_dets.sum(dim=(1, 2)) - 0.5 * energy.sum(dim=(1, 2))

    def log_prior(self, latents: Tensor) -> Tensor:
        """Log-density (N,), in nats, of latents (N, T, D) under the prior."""
        return self.patch_log_prior(latents).sum(dim=1)

    def patch_log_prior(self, latents: Tensor) -> Tensor:
        """The same by patch, (N, T)."""
        return -0.5 * (latents.square() / self.var + self.var.log() + math.log(2 * math.pi)).sum(dim=2)

    def log_prob(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Exact log-likelihood (N,), in nats, of images in [-1, 1]: change of variables, equation (1)."""
        latents, log_abs_det = self(images, labels)
        return self.log_prior(latents) + log_abs_det
