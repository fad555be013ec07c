"""The score-based denoising step after sampling.

Owns Tweedie's formula on a flow's exact score, and how many images take it at once. Knows nothing
of sampling.
"""

import torch
from torch import Tensor

from model.flow import TarFlow
from model.memory import score_bytes

# What the activations of the images that are denoised at once may take.
CHUNK_BYTES = 1 << 30


def denoise(flow: TarFlow, images: Tensor, labels: Tensor | None = None, noise_std: float | None = None) -> Tensor:
    """The expected clean image: x + noise_std^2 * grad_x log p(x) (arXiv 2412.06329, section 3.3).

    Args:
        flow: A flow trained with Gaussian noise.
        images: (N, C, H, W), as sampled.
        labels: (N,) int64 in -1..num_classes-1, -1 = no class; None = no class for all.
        noise_std: Of the noise to take away; default the flow's own.

    Returns:
        (N, C, H, W). A row depends on that row alone. However many there are, about 1 GiB of activations
        is kept: images are taken in chunks, and where one alone needs more, recomputed block by block.

    Raises:
        ValueError: A wrong shape, dtype or class, no noise_std given for a flow that was not
            trained with Gaussian noise, or within `torch.inference_mode`, which has no gradients.
    """
    if torch.is_inference_mode_enabled():
        raise ValueError("denoise needs gradients: call it outside torch.inference_mode; torch.no_grad is no hindrance")
    if noise_std is None:
        if flow.config.noise_type != "gaussian":
            raise ValueError(
                "noise_std must be given: the flow was trained with uniform noise, which has no Tweedie step"
            )
        noise_std = flow.config.noise_std
    if not 0 <= noise_std < float("inf"):
        raise ValueError(f"noise_std must be finite and at least 0, got {noise_std}")
    flow.check_images(images)
    flow.check_labels(labels, len(images))
    each = score_bytes(flow.config, 1, images.element_size())
    chunks = torch.arange(len(images), device=images.device).split(max(1, CHUNK_BYTES // each))
    scores = [
        _score(flow, images[chunk], None if labels is None else labels[chunk], recompute=each > CHUNK_BYTES)
        for chunk in chunks
    ]
    return images.detach() + noise_std**2 * torch.cat(scores)


def _score(flow: TarFlow, images: Tensor, labels: Tensor | None, recompute: bool) -> Tensor:
    """grad_x log p(x), (N, C, H, W)."""
    with torch.enable_grad():
        leaf = images.detach().requires_grad_(True)
        (score,) = torch.autograd.grad(flow.standard_log_prob(leaf, labels, recompute).sum(), leaf)
    return score
