"""What is usual for a model's own images, and how unusual another one is: split-conformal p-values.

Owns the density over features, the scores of images kept back from it, and the p-values they give.
Knows nothing of how it is fitted or stored, or of image files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import torch
from torch import Tensor

from model.features import UNEXPLAINED

ALPHAS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)
DEFAULT_NAME = "default"
# What a standard deviation of unexplained unlikeliness adds to an anomaly score.
LEAN_NATS = 4.0


class View(StrEnum):
    """Under which class an image was scored: none, the one it is said to be of, or all of them."""

    NONE = "none"
    GIVEN = "given"
    ALL = "all"


@dataclass(frozen=True)
class Mixture:
    """A mixture of K Gaussians over standardised features; every tensor float64.

    Attributes:
        centre: Mean of each feature, (F,).
        scale: Standard deviation of each feature, (F,).
        log_weights: (K,).
        means: (K, F), standardised.
        factors: Cholesky factors of the precisions, (K, F, F): precision = factor @ factor.T.
    """

    centre: Tensor
    scale: Tensor
    log_weights: Tensor
    means: Tensor
    factors: Tensor

    def standardised(self, features: Tensor) -> Tensor:
        """Features (N, F) as standard deviations from their means."""
        return (features - self.centre) / self.scale

    def log_density(self, features: Tensor) -> Tensor:
        """Of features (N, F), up to a constant, (N,), in nats."""
        moved = torch.einsum("nkf,kfg->nkg", self.standardised(features)[:, None] - self.means, self.factors)
        log_dets = self.factors.diagonal(dim1=1, dim2=2).log().sum(dim=1)
        return (self.log_weights + log_dets - 0.5 * moved.square().sum(dim=2)).logsumexp(dim=1)

    def anomaly_scores(self, features: Tensor) -> Tensor:
        """How unusual features (N, F) are, (N,), in nats: the less dense, and the less explained, the stranger.

        Both ways are strange, yet not alike: what damages a picture makes it less likely than its complexity
        explains far more often than more, so that this direction is leaned on. benchmarks/anomaly.py has the figures.
        """
        return LEAN_NATS * self.standardised(features)[:, UNEXPLAINED] - self.log_density(features)


@dataclass(frozen=True)
class Reference:
    """What is usual in one view.

    Attributes:
        mixture: Density over the features, fitted on images that are in none of the other fields.
        scores: Anomaly scores of n other images, ascending, (n,).
        log_probs: Their log-likelihoods in nats, ascending, (n,).
        patch_means: Mean log-likelihood of each patch, (T,), in nats.
        patch_stds: Its standard deviation, (T,), in nats.
    """

    mixture: Mixture
    scores: Tensor
    log_probs: Tensor
    patch_means: Tensor
    patch_stds: Tensor

    def anomaly_scores(self, features: Tensor) -> Tensor:
        """How unusual features (N, F) are, (N,): the higher the stranger, on a scale of this reference alone."""
        return self.mixture.anomaly_scores(features)

    def p_values(self, scores: Tensor) -> Tensor:
        """Share of usual images at least as strange, (N,) in (0, 1].

        Of images exchangeable with the n held back, at most alpha have p <= alpha, whatever the mixture is worth:
        split conformal prediction (Vovk et al., 2005), the image itself counted.
        """
        stranger = len(self.scores) - torch.searchsorted(self.scores, scores.contiguous())
        return (1 + stranger).double() / (1 + len(self.scores))

    def percentiles(self, scores: Tensor) -> Tensor:
        """Share of usual images that are less strange, (N,) in 0..100."""
        return 100 * torch.searchsorted(self.scores, scores.contiguous()).double() / len(self.scores)

    def likelihood_ranks(self, log_probs: Tensor) -> Tensor:
        """Share of usual images that are less likely, (N,) in [0, 1]; NaN counts as least likely."""
        known = log_probs.double().nan_to_num(nan=float("-inf"), neginf=float("-inf"))
        return torch.searchsorted(self.log_probs, known.contiguous()).double() / len(self.log_probs)

    def surprises(self, patch_log_probs: Tensor) -> Tensor:
        """By how many standard deviations each patch (N, T) is less likely than is usual there."""
        return (self.patch_means - patch_log_probs.double()) / self.patch_stds

    def thresholds(self) -> dict[str, float | None]:
        """By alpha, the anomaly score above which p <= alpha; None where there are too few images for it."""
        count = len(self.scores)
        # The largest number of images that may be stranger: (1 + stranger) / (1 + n) <= alpha.
        most = {alpha: int(alpha * (1 + count) + 1e-9) - 1 for alpha in ALPHAS}
        return {
            f"{alpha:g}": None if stranger < 0 else float(self.scores[count - 1 - stranger])
            for alpha, stranger in most.items()
        }


@dataclass(frozen=True)
class Provenance:
    """Where a calibration comes from.

    Attributes:
        created_at: ISO 8601, UTC.
        weights_digest: SHA-256 of the weights it belongs to.
        data: Name of the data.
        drawn_from: Readable images in the data.
        seed: Of the draw of the images from the data and of their split.
        fitted: Images that the mixtures were fitted on.
        compared: Images that p-values compare with.
        unreadable: Files left out because they are no images.
        leaked: Images left out because they are in the training data; None where that was not looked at.
        command: The command that made it.
        encoder: What encoded the PNGs whose lengths are among the features; empty where it was not recorded.
        png_lengths: Of fixed pictures, by that encoder; empty likewise.
    """

    created_at: str
    weights_digest: str
    data: str
    drawn_from: int
    seed: int
    fitted: int
    compared: int
    unreadable: int = 0
    leaked: int | None = None
    command: str = ""
    encoder: str = ""
    png_lengths: tuple[int, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """What is usual for a model's own images, by view.

    Attributes:
        name: One checkpoint can have several.
        provenance: Where it comes from.
        references: By view; `all` is missing where the classes are too many.
        features: The names of the features of each view, in the order of its mixture.
        digest: SHA-256 of its tensors, filled in when it is saved.
    """

    name: str
    provenance: Provenance
    references: Mapping[View, Reference] = field(default_factory=dict)
    features: Mapping[View, tuple[str, ...]] = field(default_factory=dict)
    digest: str = ""
