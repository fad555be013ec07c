"""The Fréchet distance between two sets of features, each taken for a Gaussian.

Owns the float64 arithmetic. Knows nothing of images or of what made the features.
"""

import torch
from torch import Tensor

# Below so many samples the distance says more of their number than of their quality (arXiv 1911.07023).
FEWEST_UNBIASED = 10_000


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of features (N, F) and (M, F): Dowson and Landau, 1982.

    With features of Inception v3 this is the FID of Heusel et al., arXiv 1706.08500. The trace of the root is the
    sum of the singular values of C1^(1/2) C2^(1/2), which exists for singular covariances and is never complex.

    Raises:
        ValueError: Features of different lengths, or fewer than two of a set.
    """
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"features must be of one length, got {first.shape[1]} and {second.shape[1]}")
    first_mean, first_covariance = moments(first)
    second_mean, second_covariance = moments(second)
    return gaussian_distance(first_mean, first_covariance, second_mean, second_covariance)


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) and unbiased covariance (F, F) of features (N, F), in float64.

    Raises:
        ValueError: Fewer than two features.
    """
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least 2 samples, got {len(features)}")
    features = features.double()
    mean = features.mean(dim=0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def gaussian_distance(
    first_mean: Tensor, first_covariance: Tensor, second_mean: Tensor, second_covariance: Tensor
) -> float:
    """The same of means (F,) and covariances (F, F), in float64; at least 0."""
    overlap = torch.linalg.svdvals(_root(first_covariance) @ _root(second_covariance)).sum()
    distance = (first_mean - second_mean).square().sum() + first_covariance.trace() + second_covariance.trace()
    return max(0.0, float(distance - 2 * overlap))


def _root(covariance: Tensor) -> Tensor:
    """The symmetric root of a covariance (F, F); what rounding made negative is 0."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
