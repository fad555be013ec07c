"""What a job's pictures are painted from: the noise of each, and how the flow is guided.

Owns the noise of a seed. Knows nothing of queues or image files.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.contract import DecodeRequest, GenerateRequest


@dataclass(frozen=True)
class Painting:
    """Rows that share everything but their noise (n, T, D), standard normal, float32 on the CPU."""

    noise: Tensor
    class_index: int
    guidance: float
    attention_temperature: float
    denoise: bool

    @classmethod
    def seeded(cls, request: GenerateRequest, shape: tuple[int, int]) -> Self:
        """Of a generation: noise (T, D) of this shape for each of its seeds."""
        return cls.guided(torch.from_numpy(np.stack([_noise(seed, shape) for seed in request.seeds])), request)

    @classmethod
    def guided(cls, noise: Tensor, request: GenerateRequest | DecodeRequest) -> Self:
        """From this noise, as a request would have it guided."""
        return cls(noise, request.class_index, request.guidance, request.attention_temperature, request.denoise)

    @classmethod
    def exact(cls, noise: Tensor, class_index: int) -> Self:
        """The flow's inverse and nothing more."""
        return cls(noise, class_index, guidance=0.0, attention_temperature=1.0, denoise=False)


def _noise(seed: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The standard normal latents of one image.

    Not torch's generator: it heeds 32 bits of a seed, and its stream depends on the device.
    """
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape, dtype=np.float32)
