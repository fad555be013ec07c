"""Images as tensors in [-1, 1] and as 8-bit pixels, and several laid out as one.

Owns the two scalings: noise-smoothed flows take p / 127.5 - 1, dequantised ones
(p + u) / 128 - 1 with u in [0, 1). Knows nothing of files.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from model.config import TarFlowConfig


def add_noise(pixels: Tensor, config: TarFlowConfig, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W) as the flow saw them in training: uint8 pixels plus a draw of its noise."""
    if config.noise_type == "uniform":
        draw = torch.rand(pixels.shape, generator=generator, device=pixels.device)
        return (pixels + draw) / 128 - 1
    draw = torch.randn(pixels.shape, generator=generator, device=pixels.device)
    return pixels / 127.5 - 1 + config.noise_std * draw


def to_images(pixels: Tensor, config: TarFlowConfig) -> Tensor:
    """Images (N, C, H, W) to score: the pixels themselves, or dequantised by one fixed draw.

    A dequantised density is only defined between grey levels. The draw is the same for every
    image and every call, so that a score is a function of the image.
    """
    if config.noise_type == "gaussian":
        return pixels / 127.5 - 1
    draw = torch.rand(pixels.shape[1:], generator=torch.Generator().manual_seed(0)).to(pixels.device)
    return (pixels + draw) / 128 - 1


def to_pixels(images: Tensor, config: TarFlowConfig) -> Tensor:
    """The uint8 pixels nearest to images (N, C, H, W), clipped to [-1, 1]."""
    if config.noise_type == "uniform":
        return ((images + 1) * 128).floor().clamp(0, 255).to(torch.uint8)
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def bits_per_dim(log_prob: Tensor, dims: int) -> Tensor:
    """Bits per value, for a density over [-1, 1] read as one over 256 grey levels.

    -log p / dims nats, plus log(128) for the change of scale, over log 2. Comparable with
    published figures for dequantised flows only.
    """
    return (-log_prob / dims + math.log(128)) / math.log(2)


def contact_sheet(pixels: Tensor, columns: int, margin: int = 2, background: int = 255) -> Tensor:
    """Lay uint8 pixels (N, C, H, W) out in rows of `columns`, (C, height, width), a margin around each."""
    count, channels, height, width = pixels.shape
    rows = math.ceil(count / columns)
    cells = pixels.new_full((rows * columns, channels, height + margin, width + margin), background)
    cells[:count, :, :height, :width] = pixels
    grid = cells.view(rows, columns, channels, height + margin, width + margin).permute(2, 0, 3, 1, 4)
    return F.pad(grid.reshape(channels, rows * (height + margin), -1), (margin, 0, margin, 0), value=background)
