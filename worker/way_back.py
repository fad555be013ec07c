"""The way from images back to noise, and from one noise to another.

Owns the encoding and the path between latents. Knows nothing of requests.
"""

import torch
from torch import Tensor

from model import TarFlow
from model.pixels import to_images, to_pixels

# Closer together, or closer to opposite, there is no arc to follow in float32.
LEAST_SINE = 1e-4
# Of [-1, 1]: an image between which and another there are pictures comes back as closely as this, in every value.
# One that a flow knows does so to 1e-3; what it does not know is wrong by much more, or not at all.
MOST_END_ERROR = 0.05


@torch.no_grad()
def noise_of(flow: TarFlow, pixels: Tensor, class_index: int) -> Tensor:
    """The noise (T, D), standard normal for images of the flow's own, that uint8 pixels (C, H, W) come from.

    One image at a time: in a batch, the last bits would depend on the neighbours.
    """
    images = to_images(pixels.unsqueeze(0).to(flow.var.device), flow.config)
    labels = torch.tensor([class_index], device=flow.var.device) if flow.config.num_classes else None
    latents, _ = flow(images, labels)
    return (latents[0] / flow.var.sqrt()).cpu()


def arc(start: Tensor, end: Tensor, n: int) -> Tensor:
    """`n` latents (n, T, D) from one (T, D) to another, evenly spaced on the arc between them; straight if none is."""
    shares = torch.linspace(0, 1, n, dtype=torch.float64).view(n, 1, 1)
    one, other = start.double(), end.double()
    angle = torch.arccos((one.flatten() @ other.flatten() / (one.norm() * other.norm())).clamp(-1, 1))
    if not float(angle.sin()) > LEAST_SINE:
        between = (1 - shares) * one + shares * other
    else:
        between = (torch.sin((1 - shares) * angle) * one + torch.sin(shares * angle) * other) / angle.sin()
    # The ends are the ends, to the last bit.
    between[0], between[-1] = one, other
    return between.float()


def round_trip(flow: TarFlow, pixels: Tensor, images: Tensor) -> tuple[float, float, int]:
    """How far finite images (C, H, W), unclipped, are from the uint8 pixels they should be.

    Returns:
        The largest distance of a value and the root of the mean square, both in [-1, 1]; values of another level.
    """
    wanted = to_images(pixels.unsqueeze(0), flow.config)[0]
    # In float32 the squares, and even the distances, of far images overflow.
    distance = (images.double() - wanted.double()).abs()
    changed = int((to_pixels(images.unsqueeze(0), flow.config)[0] != pixels).sum())
    return float(distance.max()), float(distance.square().mean().sqrt()), changed
