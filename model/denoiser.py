"""The score-based denoising step after sampling.

Owns Tweedie's formula on a flow's exact score. Knows nothing of sampling.
"""

import torch
from torch import Tensor

from model.flow import TarFlow


def denoise(flow: TarFlow, images: Tensor, labels: Tensor | None = None, noise_std: float | None = None) -> Tensor:
    """The expected clean image: x + noise_std^2 * grad_x log p(x) (arXiv 2412.06329, section 3.3).

    Args:
        flow: A flow trained with Gaussian noise.
        images: (N, C, H, W), as sampled.
        labels: (N,) int64 in -1..num_classes-1, -1 = no class; None = no class for all.
        noise_std: Of the noise to take away; default the flow's own.

    Returns:
        (N, C, H, W). A row depends on that row alone.

    Raises:
        ValueError: A wrong shape or class, or no noise_std given for a flow that was not
            trained with Gaussian noise.
    """
    if noise_std is None:
        if flow.config.noise_type != "gaussian":
            raise ValueError(
                "noise_std must be given: the flow was trained with uniform noise, which has no Tweedie step"
            )
        noise_std = flow.config.noise_std
    if not 0 <= noise_std < float("inf"):
        raise ValueError(f"noise_std must be finite and at least 0, got {noise_std}")
    with torch.enable_grad():
        leaf = images.detach().requires_grad_(True)
        (score,) = torch.autograd.grad(flow.standard_log_prob(leaf, labels).sum(), leaf)
    return leaf.detach() + noise_std**2 * score
