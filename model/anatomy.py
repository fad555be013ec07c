"""One forward pass of the flow, taken apart by flow block and by patch.

Owns the parts of an exact log-likelihood, each where in the picture and in the network it comes from.
Knows nothing of what is usual for an image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.flow import TarFlow


@dataclass(frozen=True)
class Anatomy:
    """The parts of log p(x); their sum is exact: change of variables, equation (1).

    Attributes:
        latents: (N, T, D).
        log_prior: Log-density of each patch of the latents, (N, T), in nats.
        log_abs_dets: Of each flow block and patch, (N, B, T), in nats.
        energies: Mean square of the values of each patch, before the first block and after each, (N, B + 1, T).
    """

    latents: Tensor
    log_prior: Tensor
    log_abs_dets: Tensor
    energies: Tensor

    @property
    def log_abs_det(self) -> Tensor:
        """Of the whole map, (N,), in nats."""
        return self.log_abs_dets.sum(dim=(1, 2))

    @property
    def log_prob(self) -> Tensor:
        """Log-likelihood (N,), in nats."""
        return self.log_prior.sum(dim=1) + self.log_abs_det

    @property
    def patch_log_prob(self) -> Tensor:
        """What each patch adds to the log-likelihood, (N, T) in the order of the image, in nats."""
        return self.log_prior + self.log_abs_dets.sum(dim=1)


def dissect(flow: TarFlow, images: Tensor, labels: Tensor | None = None) -> Anatomy:
    """The anatomy of images (N, C, H, W) under labels (N,); arguments and errors as `TarFlow.encode`."""
    energies, log_abs_dets = [], []
    for latents, log_abs_det in flow.passes(images, labels):
        energies.append(latents.square().mean(dim=2))
        log_abs_dets.append(log_abs_det)
    energies.insert(0, flow.patchify(images).square().mean(dim=2))
    return Anatomy(latents, flow.patch_log_prior(latents), torch.stack(log_abs_dets, 1), torch.stack(energies, 1))
