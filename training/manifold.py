"""Precision and recall of samples: the share of each set that lies in the other's manifold.

Owns the manifold, balls around features that reach their k-th nearest neighbour (Kynkäänniemi et al., 2019,
arXiv 1904.06991). Knows nothing of images or of what made the features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

NEIGHBOURS = 3  # of the paper
CHUNK_ROWS = 256


@dataclass(frozen=True)
class Manifold:
    """Balls around features (N, F) in float64, with radii (N,)."""

    features: Tensor
    radii: Tensor

    @classmethod
    def of(cls, features: Tensor, neighbours: int = NEIGHBOURS) -> "Manifold":
        """The balls that reach from each feature to its k-th nearest neighbour among the others.

        Raises:
            ValueError: There are not so many others.
        """
        if len(features) <= neighbours:
            raise ValueError(f"a manifold of {neighbours} neighbours needs more than {neighbours} samples")
        features = features.double()
        # The nearest of all is the feature itself, at 0.
        radii = [_distances(rows, features).kthvalue(neighbours + 1).values for rows in features.split(CHUNK_ROWS)]
        return cls(features, torch.cat(radii))

    def share_inside(self, features: Tensor) -> float:
        """The share of features (M, F) that lie in at least one ball."""
        chunks = features.double().split(CHUNK_ROWS)
        inside = [(_distances(rows, self.features) <= self.radii).any(dim=1) for rows in chunks]
        return torch.cat(inside).double().mean().item()


def precision_and_recall(samples: Tensor, reference: Tensor, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """The share of samples (N, F) in the reference's manifold, and of the reference (M, F) in the samples'.

    Raises:
        ValueError: A set of no more than `neighbours`.
    """
    precision = Manifold.of(reference, neighbours).share_inside(samples)
    return precision, Manifold.of(samples, neighbours).share_inside(reference)


def _distances(rows: Tensor, features: Tensor) -> Tensor:
    # By differences and not by a matrix product, whose rounding would move a feature away from itself.
    return torch.cdist(rows, features, compute_mode="donot_use_mm_for_euclid_dist")
