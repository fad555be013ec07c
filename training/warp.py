"""Images turned, stretched, slanted and moved a little: other pictures of the same class.

Owns how far, and the draws, from a generator on the images' device: the host does not wait for it. Knows nothing of
what learns from them.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

MOST_TURN = math.radians(9)
MOST_STRETCH = 0.08
MOST_SLANT = 0.15
# Of the image's side.
MOST_SHIFT = 0.04
# Of the images: what is judged later is not warped either.
LEFT_ALONE = 0.3


def warped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W), most of them warped, each in its own way; beyond the edges they go on as they end."""
    draws = 2 * torch.rand(5, len(images), generator=generator, device=images.device) - 1
    turn, stretch, slant = MOST_TURN * draws[0], 1 + MOST_STRETCH * draws[1], MOST_SLANT * draws[2]
    across, down = 2 * MOST_SHIFT * draws[3], 2 * MOST_SHIFT * draws[4]  # grid_sample's sides are 2 long
    rows = torch.stack((stretch * turn.cos(), slant - stretch * turn.sin(), across), dim=1)
    columns = torch.stack((stretch * turn.sin(), stretch * turn.cos(), down), dim=1)
    grid = F.affine_grid(torch.stack((rows, columns), dim=1), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    alone = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < LEFT_ALONE
    return torch.where(alone, images, moved)
