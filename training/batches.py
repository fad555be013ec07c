"""Which images, labels, flips, warps and noise a step sees.

Owns all randomness of a run, each draw a function of (seed, epoch or step, rank) alone: a
resumed run needs no generator state to go on as if unbroken. Owns where the data lies, too.
Knows nothing of optimisation.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from model import TarFlowConfig
from model.pixels import add_noise, to_images
from training.image_folder import BYTES_PER_GIB, ImageFolder
from training.warp import warped

NO_CLASS = -1


@dataclass(frozen=True)
class Batches:
    """The batches of one rank: `batch_size` / `world` images a step, the last short batch of an epoch left out.

    Noise is drawn on the device that trains: a step is the same every time on one kind of device.
    """

    data: ImageFolder
    config: TarFlowConfig
    batch_size: int
    label_drop: float
    seed: int
    rank: int = 0
    world: int = 1
    flip: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the data."""
        return len(self.data) // self.batch_size

    def at(self, step: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Noisy images (n, C, H, W) and labels (n,), some of them dropped, of a step."""
        generator = self._generator(step, device)
        pixels, labels = self._pixels(step, generator)
        images = add_noise(pixels, self.config, generator)
        if not self.config.num_classes:
            return images, None
        dropped = torch.rand(len(images), generator=generator, device=device) < self.label_drop
        return images, torch.where(dropped, NO_CLASS, labels)

    def asked_at(self, step: int, device: torch.device, share: float) -> tuple[Tensor, Tensor]:
        """The first `share` of a step's images, warped, and their labels (n,), none dropped.

        Warps and noise come from the stream that `at` draws a step's noise from. Gaussian noise is of any standard
        deviation up to the flow's: the images to be classified one day are clean.
        """
        generator = self._generator(step, device)
        pixels, labels = self._pixels(step, generator)
        count = max(1, round(share * len(pixels)))
        pixels, labels = warped(pixels[:count].float(), generator), labels[:count]
        if self.config.noise_type == "uniform":
            return add_noise(pixels, self.config, generator), labels
        amount = torch.rand(count, 1, 1, 1, generator=generator, device=device)
        return torch.lerp(to_images(pixels, self.config), add_noise(pixels, self.config, generator), amount), labels

    def _generator(self, step: int, device: torch.device) -> torch.Generator:
        return torch.Generator(device).manual_seed(_seed(self.seed, 2 * (step * self.world + self.rank) + 1))

    def _pixels(self, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """uint8 pixels (n, C, H, W), flipped where that is drawn, and labels (n,) of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = _permutation(len(self.data), _seed(self.seed, 2 * epoch))
        share = self.batch_size // self.world
        first = position * self.batch_size + self.rank * share
        pixels, labels = self._gather(order[first : first + share], generator.device)
        if not self.flip:
            return pixels, labels
        flipped = torch.rand(share, 1, 1, 1, generator=generator, device=generator.device) < 0.5
        return torch.where(flipped, pixels.flip(3), pixels), labels

    def _gather(self, chosen: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Pixels and labels of the images `chosen`, on the device; the host does not wait for it."""
        pixels, labels = self.data.pixels, self.data.labels
        if pixels.device.type == device.type:
            chosen = _sendable(chosen, device).to(device, non_blocking=True)
            return pixels[chosen], labels[chosen]
        return tuple(  # type: ignore[return-value]
            _sendable(tensor[chosen], device).to(device, non_blocking=True) for tensor in (pixels, labels)
        )


def place(data: ImageFolder, device: torch.device, limit_gib: float) -> ImageFolder:
    """The data with its tensors on the device, unless its pixels take more than `limit_gib` there."""
    if data.pixels.nbytes > limit_gib * BYTES_PER_GIB:
        return data
    return replace(data, pixels=data.pixels.to(device), labels=data.labels.to(device))


def _sendable(tensor: Tensor, device: torch.device) -> Tensor:
    """In pinned memory where the copy to the device would else hold up the host."""
    return tensor.pin_memory() if device.type == "cuda" else tensor


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int) -> Tensor:
    """The order of an epoch; every step of it asks."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _seed(seed: int, stream: int) -> int:
    # torch's CPU generator heeds the low 32 bits of its seed alone: both numbers must reach them.
    digest = hashlib.blake2b(f"{seed} {stream}".encode(), digest_size=4).digest()
    return int.from_bytes(digest)
