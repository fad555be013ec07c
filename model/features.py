"""What one forward pass says of an image, as the few numbers that tell strange images from usual ones.

Owns which features there are, their names and their scale. Knows nothing of what is usual.
"""

import math

import torch
from torch import Tensor

from model.anatomy import Anatomy
from model.config import TarFlowConfig

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Of log-energies: a blank image has none at all.
LEAST_ENERGY = 1e-3
# A dequantised flow's scales overflow on images far from its own: as strange as any number can say.
FARTHEST = 1e15

# The column of what an image's complexity does not explain of its unlikeliness (Serra et al., arXiv 1909.11480).
UNEXPLAINED = 0

LATENT_NAMES = ("latent_mean", "latent_mean_abs", "latent_third_moment", "latent_fourth_moment", "latent_max_abs")
CLASS_NAMES = (
    "marginal_over_no_class",
    "best_class_over_no_class",
    "log_lead_of_best_class",
    "best_class_over_mean_class",
    "spread_of_classes",
)


def feature_names(config: TarFlowConfig, with_classes: bool) -> tuple[str, ...]:
    """The names of the features of `image_features`, then those of `class_features` if wanted."""
    return (
        "unexplained_nats",
        "log_likelihood",
        *(f"log_abs_det_block_{index}" for index in range(config.blocks)),
        *(f"log_energy_before_block_{index}" for index in range(config.blocks)),
        "log_energy_of_latents",
        *("patch_std", "patch_min", "patch_max"),
        *(f"patch_quantile_{quantile:g}" for quantile in QUANTILES),
        *LATENT_NAMES,
        "complexity_bits_per_dim",
        *(CLASS_NAMES if with_classes else ()),
    )


def image_features(anatomy: Anatomy, complexity_bits_per_dim: Tensor) -> Tensor:
    """Features (N, F) float64 of N images from their anatomy and the length (N,) of their lossless encoding.

    Likelihoods are in nats, energies logarithms of mean squares; always finite.
    """
    patches, latents = anatomy.patch_log_prob.double(), anatomy.latents.double().flatten(1)
    log_prob, complexity = patches.sum(dim=1), complexity_bits_per_dim.double().to(patches.device)
    quantiles = patches.quantile(torch.tensor(QUANTILES, dtype=torch.float64, device=patches.device), dim=1).T
    columns = (
        (-log_prob - complexity * latents.shape[1] * math.log(2))[:, None],
        log_prob[:, None],
        anatomy.log_abs_dets.double().sum(dim=2),
        (anatomy.energies.double().mean(dim=2) + LEAST_ENERGY).log(),
        torch.stack([patches.std(dim=1, correction=0), patches.amin(dim=1), patches.amax(dim=1)], dim=1),
        quantiles,
        _moments(latents),
        complexity[:, None],
    )
    return _bounded(torch.cat(columns, dim=1))


def class_features(log_probs: Tensor, log_prob: Tensor) -> Tensor:
    """How the classes differ, (N, 5) float64.

    Args:
        log_probs: log p(x | class), (N, K) in nats.
        log_prob: log p(x) under no class, (N,) in nats.
    """
    log_probs, log_prob = log_probs.double(), log_prob.double()
    ranked = log_probs.sort(dim=1, descending=True).values
    best, second = ranked[:, 0], ranked[:, min(1, ranked.shape[1] - 1)]
    columns = (
        log_probs.logsumexp(dim=1) - log_prob,
        best - log_prob,
        (best - second).log1p(),
        best - log_probs.mean(dim=1),
        log_probs.std(dim=1, correction=0),
    )
    return _bounded(torch.stack(columns, dim=1))


def _moments(latents: Tensor) -> Tensor:
    """Goodness of fit of latents (N, T * D) to the standard normal they should be, (N, 5)."""
    size = latents.abs()
    moments = (latents.mean(1), size.mean(1), latents.pow(3).mean(1), latents.pow(4).mean(1), size.amax(1))
    return torch.stack(moments, dim=1)


def _bounded(features: Tensor) -> Tensor:
    return features.nan_to_num(nan=FARTHEST, posinf=FARTHEST, neginf=-FARTHEST).clamp(-FARTHEST, FARTHEST)
