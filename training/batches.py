"""Which images, labels and noise a step sees.

Owns all randomness of a run, each draw a function of (seed, epoch or step, rank) alone: a
resumed run needs no generator state to go on as if unbroken. Knows nothing of optimisation.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from model import TarFlowConfig
from model.pixels import add_noise
from training.image_folder import ImageFolder

NO_CLASS = -1


@dataclass(frozen=True)
class Batches:
    """The batches of one rank: `batch_size` / `world` images a step, the last short batch of an epoch left out."""

    data: ImageFolder
    config: TarFlowConfig
    batch_size: int
    label_drop: float
    seed: int
    rank: int = 0
    world: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the data."""
        return len(self.data) // self.batch_size

    def at(self, step: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Noisy images (n, C, H, W) and labels (n,), some of them dropped, of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = torch.randperm(len(self.data), generator=self._generator(2 * epoch))
        share = self.batch_size // self.world
        first = position * self.batch_size + self.rank * share
        chosen = order[first : first + share]
        generator = self._generator(2 * (step * self.world + self.rank) + 1)
        images = add_noise(self.data.pixels[chosen], self.config, generator)
        if not self.config.num_classes:
            return images.to(device), None
        dropped = torch.rand(share, generator=generator) < self.label_drop
        return images.to(device), torch.where(dropped, NO_CLASS, self.data.labels[chosen]).to(device)

    def _generator(self, stream: int) -> torch.Generator:
        # torch's CPU generator heeds the low 32 bits of its seed alone: both numbers must reach them.
        digest = hashlib.blake2b(f"{self.seed} {stream}".encode(), digest_size=4).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest))
