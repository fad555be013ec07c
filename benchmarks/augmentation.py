"""Images changed as their class does not care about: moved a little, mirrored.

Owns the draws, from torch's generator of the images' own device: the host need not wait for it. Knows nothing of
what learns from them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def shifted(pixels: Tensor, largest: int) -> Tensor:
    """Pixels (N, C, H, W), each image moved by its own random shift of up to `largest` pixels, edges black."""
    device = pixels.device
    rows = torch.arange(len(pixels), device=device)
    across, down = torch.randint(2 * largest + 1, (2, len(pixels)), device=device)
    windows = F.pad(pixels, (largest,) * 4).unfold(2, pixels.shape[2], 1).unfold(3, pixels.shape[3], 1)
    return windows[rows, :, down, across]


def flipped(pixels: Tensor) -> Tensor:
    """Pixels (N, C, H, W), about half of the images mirrored left to right."""
    chosen = torch.rand(len(pixels), 1, 1, 1, device=pixels.device) < 0.5
    return torch.where(chosen, pixels.flip(3), pixels)
