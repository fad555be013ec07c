"""Samples of a checkpoint in numbers: image i is made from seed + i alone.

Owns the noise, the labels and the batches. Knows nothing of what the images are for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from model import Sampler, TarFlow, denoise, sample
from model.sampler import Method


@dataclass(frozen=True)
class Drawing:
    """How images of a flow are drawn.

    Attributes:
        flow: The flow.
        guidance: Weight, 0 = plain.
        method: `auto`, `sequential` or `parallel`.
        seed: Of the first image.
    """

    flow: TarFlow
    guidance: float
    method: Method = "auto"
    seed: int = 0

    def batches(self, labels: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Iterate over images (n, C, H, W) on the CPU under labels (N,), clipped to [-1, 1], denoised if they can be.

        Raises:
            ValueError: An image is not finite, as strong guidance can make it.
        """
        for indices in torch.arange(len(labels)).split(batch_size):
            yield self._images(indices, labels[indices])

    def _images(self, indices: Tensor, labels: Tensor) -> Tensor:
        config, device = self.flow.config, self.flow.var.device
        noise = self._noise(indices).to(device)
        classes = labels.to(device) if config.num_classes else None
        images = sample(self.flow, noise, classes, self.guidance, method=self.method, sampler=self._sampler)
        if config.noise_type == "gaussian":
            images = denoise(self.flow, images, classes)
        if broken := int((~images.flatten(1).isfinite().all(dim=1)).sum()):
            raise ValueError(f"{broken} of {len(images)} samples are not finite: lower --guidance {self.guidance:g}")
        return images.clamp(-1, 1).cpu()

    def _noise(self, indices: Tensor) -> Tensor:
        """Standard normal (N, T, D), the same for an image whatever its batch."""
        shape = (self.flow.config.patches, self.flow.config.patch_dims)
        seeds = [self.seed + index for index in indices.tolist()]
        return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler.prepare(self.flow)


def labels_like(labels: Tensor, count: int, seed: int) -> Tensor:
    """`count` labels in the proportions of labels (N,): a shuffle of them, and again where they are too few."""
    generator = torch.Generator().manual_seed(seed)
    shuffles = [torch.randperm(len(labels), generator=generator) for _ in range(-(-count // len(labels)))]
    return labels[torch.cat(shuffles)[:count]]
