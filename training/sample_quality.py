"""How near samples come to real images, on the features of a network.

Owns the figures and the warning that goes with too few samples. Knows nothing of the network or of how a figure is
computed.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from model.pixels import to_pixels
from training.drawing import Drawing, labels_like
from training.features import FeatureExtractor
from training.frechet import FEWEST_UNBIASED, frechet_distance
from training.image_folder import ImageFolder
from training.manifold import NEIGHBOURS, precision_and_recall
from training.progress import Progress


@dataclass(frozen=True)
class SampleQuality:
    """Figures of `samples` samples beside `reference_images` real images.

    Attributes:
        features: Which network's, by file and digest; figures of two networks cannot be compared.
        feature_count: Features of an image.
        frechet_distance: Between the two sets of features, each taken for a Gaussian; smaller is better.
        precision: Share of samples within the manifold of the real images.
        recall: Share of real images within the manifold of the samples.
        neighbours: k of the two manifolds.
        warning: Why the distance may not be compared, or None.
    """

    samples: int
    reference_images: int
    guidance: float
    seed: int
    features: str
    feature_count: int
    frechet_distance: float
    precision: float
    recall: float
    neighbours: int
    warning: str | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


def sample_quality(
    drawing: Drawing, extractor: FeatureExtractor, reference: ImageFolder, count: int, batch_size: int
) -> SampleQuality:
    """Draw `count` samples, their classes in the reference's proportions, and compare the two sets.

    Raises:
        ValueError: Too few of either set, or features that are not finite.
    """
    started_s = time.perf_counter()
    real = extractor.features(reference.pixels, batch_size)
    labels = labels_like(reference.labels, count, drawing.seed)
    drawn = extractor.features(_pixels(drawing, labels, batch_size), batch_size)
    precision, recall = precision_and_recall(drawn, real)
    return SampleQuality(
        samples=count,
        reference_images=len(reference),
        guidance=drawing.guidance,
        seed=drawing.seed,
        features=extractor.name,
        feature_count=real.shape[1],
        frechet_distance=frechet_distance(drawn, real),
        precision=precision,
        recall=recall,
        neighbours=NEIGHBOURS,
        warning=bias_warning(min(count, len(reference)), real.shape[1]),
        seconds=time.perf_counter() - started_s,
    )


def bias_warning(images: int, features: int) -> str | None:
    """What to say of a Fréchet distance over so few images, or None."""
    if images <= features:
        return f"{images} images cannot fill {features} features: the covariance is singular, the distance says little"
    if images < FEWEST_UNBIASED:
        return f"below {FEWEST_UNBIASED} images the distance is biased upwards: compare equal numbers, {images}, only"
    return None


def _pixels(drawing: Drawing, labels: Tensor, batch_size: int) -> Tensor:
    progress, parts = Progress("sampling, image", len(labels)), []
    for images in drawing.batches(labels, batch_size):
        parts.append(to_pixels(images, drawing.flow.config))
        progress.advance(len(images))
    return torch.cat(parts)
