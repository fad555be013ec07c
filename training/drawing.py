"""Samples of a checkpoint as a request gets them that says nothing else; in numbers, image i from seed + i alone.

Owns the noise, the labels, the batches, and what a card's sampling defaults mean. Knows nothing of what the images
are for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from model import Sampler, TarFlow, denoise, sample
from model.card import SamplingDefaults
from model.sampler import Method


@dataclass(frozen=True)
class Drawing:
    """How images of a flow are drawn.

    Attributes:
        flow: The flow.
        sampling: How the card says that they are drawn.
        method: `auto`, `sequential` or `parallel`.
        seed: Of the first image.
    """

    flow: TarFlow
    sampling: SamplingDefaults
    method: Method = "auto"
    seed: int = 0

    @property
    def guidance(self) -> float:
        """The weight that takes effect: without classes, and at temperature 1, both branches are one."""
        guides = self.flow.config.num_classes or self.sampling.attention_temperature < 1
        return self.sampling.guidance if guides else 0.0

    def batches(self, labels: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Iterate over images (n, C, H, W) on the CPU under labels (N,), clipped to [-1, 1].

        Raises:
            ValueError: An image is not finite, as strong guidance can make it.
        """
        for indices in torch.arange(len(labels)).split(batch_size):
            yield self._images(indices, labels[indices])

    def _images(self, indices: Tensor, labels: Tensor) -> Tensor:
        noise, sampling = self._noise(indices), replace(self.sampling, guidance=self.guidance)
        images = draw(self.flow, noise, labels, sampling, self.method, self._sampler)
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


def draw(
    flow: TarFlow,
    noise: Tensor,
    labels: Tensor,
    sampling: SamplingDefaults,
    method: Method = "auto",
    sampler: Sampler | None = None,
) -> Tensor:
    """Images (N, C, H, W), unclipped, of noise (N, T, D) under labels (N,), which count where the flow has classes."""
    device = flow.var.device
    classes = labels.to(device) if flow.config.num_classes else None
    images = sample(
        flow,
        noise.to(device),
        classes,
        sampling.guidance,
        annealed=sampling.annealed,
        attention_temperature=sampling.attention_temperature,
        method=method,
        sampler=sampler,
    )
    if sampling.denoise and flow.config.noise_type == "gaussian":
        images = denoise(flow, images, classes)
    return images


def labels_like(labels: Tensor, count: int, seed: int) -> Tensor:
    """`count` labels in the proportions of labels (N,): a shuffle of them, and again where they are too few."""
    generator = torch.Generator().manual_seed(seed)
    shuffles = [torch.randperm(len(labels), generator=generator) for _ in range(-(-count // len(labels)))]
    return labels[torch.cat(shuffles)[:count]]
