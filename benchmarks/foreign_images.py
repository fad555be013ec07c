"""Images that are none of a model's own: the foreign sets of the anomaly benchmark.

Owns how each set is made from the model's own test images, from another folder, or from nothing.
Knows nothing of scores. Everything is a function of the seed.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

BLUR_STD_PIXELS = 1.5
BLUR_RADIUS_PIXELS = 4
OCCLUDER_SHARE = 0.3  # of a side
OCCLUDER_LEVEL = 128
TILES = 4  # to a side, where tiles are shuffled

Change = Callable[[Tensor, torch.Generator], Tensor]


def noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """Every value drawn alike from 0..255."""
    return torch.randint(256, like.shape, generator=generator, dtype=torch.uint8)


def constant(like: Tensor, generator: torch.Generator) -> Tensor:
    """Each image of one grey level, drawn alike from 0..255."""
    levels = torch.randint(256, (len(like), 1, 1, 1), generator=generator, dtype=torch.uint8)
    return levels.expand_as(like).contiguous()


def level(value: int, like: Tensor, _generator: torch.Generator) -> Tensor:
    """Each image of the grey level `value`."""
    return torch.full_like(like, value)


def checkerboard(like: Tensor, generator: torch.Generator) -> Tensor:
    """Black and white squares of 1 to 7 pixels."""
    rows, columns = torch.meshgrid(*(torch.arange(size) for size in like.shape[2:]), indexing="ij")
    sides = torch.randint(1, 8, (len(like), 1, 1), generator=generator)
    board = (rows // sides + columns // sides) % 2 * 255
    return board[:, None].expand_as(like).to(torch.uint8).contiguous()


def inverted(own: Tensor, _generator: torch.Generator) -> Tensor:
    """Negatives."""
    return 255 - own


def blurred(own: Tensor, _generator: torch.Generator) -> Tensor:
    """Blurred by a Gaussian of `BLUR_STD_PIXELS`."""
    offsets = torch.arange(-BLUR_RADIUS_PIXELS, BLUR_RADIUS_PIXELS + 1)
    weights = torch.exp(-0.5 * (offsets / BLUR_STD_PIXELS).square())
    kernel = torch.outer(weights, weights) / weights.sum() ** 2
    channels = own.shape[1]
    padded = F.pad(own.float(), (BLUR_RADIUS_PIXELS,) * 4, mode="replicate")
    return F.conv2d(padded, kernel.expand(channels, 1, -1, -1), groups=channels).round().to(torch.uint8)


def occluded(own: Tensor, generator: torch.Generator) -> Tensor:
    """A mid-grey square of `OCCLUDER_SHARE` of a side, somewhere in the middle half, over each."""
    return _covered(own, generator, OCCLUDER_LEVEL)


def erased(own: Tensor, generator: torch.Generator) -> Tensor:
    """The same square in black: on a black ground only missing strokes show it."""
    return _covered(own, generator, 0)


def rotated(own: Tensor, _generator: torch.Generator) -> Tensor:
    """Turned by 90 degrees to the left."""
    return own.rot90(1, dims=(2, 3)).contiguous()


def shuffled(own: Tensor, generator: torch.Generator) -> Tensor:
    """`TILES` x `TILES` tiles of each image in another order."""
    side = own.shape[2] // TILES
    tiles = F.unfold(own.float(), side, stride=side)
    order = torch.rand(len(own), 1, tiles.shape[2], generator=generator).argsort(dim=2)
    moved = tiles.gather(2, order.expand_as(tiles))
    return F.fold(moved, own.shape[2:], side, stride=side).to(torch.uint8)


def mirrored(own: Tensor, _generator: torch.Generator) -> Tensor:
    """Flipped left to right."""
    return own.flip(3)


def upside_down(own: Tensor, _generator: torch.Generator) -> Tensor:
    """Flipped top to bottom."""
    return own.flip(2)


def _covered(own: Tensor, generator: torch.Generator, value: int) -> Tensor:
    images, size = own.clone(), own.shape[2]
    side = round(OCCLUDER_SHARE * size)
    # Its centre lies in the middle half: at a rim it would cover nothing but ground.
    first = torch.randint(size // 4 - side // 2, 3 * size // 4 - side // 2 + 1, (len(own), 2), generator=generator)
    for image, (top, left) in zip(images, first.tolist(), strict=True):
        image[:, top : top + side, left : left + side] = value
    return images


CHANGES: dict[str, Change] = {
    "noise": noise,
    "constant": constant,
    "black": partial(level, 0),
    "white": partial(level, 255),
    "checkerboard": checkerboard,
    "inverted": inverted,
    "blurred": blurred,
    "occluded": occluded,
    "erased": erased,
    "rotated": rotated,
    "shuffled": shuffled,
    "mirrored": mirrored,
    "upside down": upside_down,
}
