"""Two ways of sampling beside each other, on the same noise.

Owns what is compared: pixels pair by pixel pair, and the two sets' features. Knows nothing of how an image is drawn.
"""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from model.pixels import to_pixels
from training.drawing import Drawing
from training.features import FeatureExtractor
from training.frechet import frechet_distance
from training.progress import Progress
from training.sample_quality import bias_warning


@dataclass(frozen=True)
class Comparison:
    """Figures over pairs of samples from equal noise, class and guidance.

    Attributes:
        first: What made the first of each pair.
        second: What made the second.
        samples: Pairs.
        max_abs_difference: Largest difference between two values, images in [-1, 1].
        mean_abs_difference: Mean of the differences' sizes.
        equal_pixels: Share of 8-bit values that are the same.
        frechet_distance: Between the features of the two sets; None without a network.
        features: Which network's; None without one.
        warning: Why the distance may not be compared, or None.
    """

    first: str
    second: str
    samples: int
    max_abs_difference: float
    mean_abs_difference: float
    equal_pixels: float
    frechet_distance: float | None
    features: str | None
    warning: str | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


def check_pair(first: Drawing, second: Drawing) -> None:
    """Raise ValueError unless both make images of one shape from noise of one shape, under the same classes."""
    for name in ("image_size", "in_channels", "patch_size", "num_classes"):
        ours, theirs = getattr(first.flow.config, name), getattr(second.flow.config, name)
        if ours != theirs:
            raise ValueError(f"--compare: {name} is {ours} of the one checkpoint, {theirs} of the other")


def compare(
    drawings: dict[str, Drawing], labels: Tensor, batch_size: int, extractor: FeatureExtractor | None = None
) -> Comparison:
    """Draw pairs under labels (N,) by two named drawings and compare them.

    Raises:
        ValueError: The drawings do not fit each other, or an image or a feature is not finite.
    """
    started_s = time.perf_counter()
    first, second = drawings.values()
    check_pair(first, second)
    tally, progress = _Tally(), Progress("sampling pairs, image", len(labels))
    for pair in zip(first.batches(labels, batch_size), second.batches(labels, batch_size), strict=True):
        pixels = [to_pixels(images, each.flow.config) for images, each in zip(pair, (first, second), strict=True)]
        tally.count((pair[0] - pair[1]).abs(), pixels[0] == pixels[1])
        if extractor:
            tally.features.append(torch.stack([extractor.features(each, batch_size) for each in pixels]))
        progress.advance(len(pair[0]))
    features = torch.cat(tally.features, dim=1) if extractor else None
    first_name, second_name = drawings
    return Comparison(
        first=first_name,
        second=second_name,
        samples=len(labels),
        max_abs_difference=tally.largest,
        mean_abs_difference=tally.sum / tally.values,
        equal_pixels=tally.equal / tally.values,
        frechet_distance=None if features is None else frechet_distance(*features),
        features=extractor.name if extractor else None,
        warning=None if features is None else bias_warning(len(labels), features.shape[2]),
        seconds=time.perf_counter() - started_s,
    )


@dataclass
class _Tally:
    """What is kept of the pairs so far; `features` are (2, N, F), batch by batch."""

    largest: float = 0.0
    sum: float = 0.0
    equal: int = 0
    values: int = 0
    features: list[Tensor] = field(default_factory=list)

    def count(self, differences: Tensor, equal: Tensor) -> None:
        """Add a batch of differences and of equalities of 8-bit values, each (N, C, H, W)."""
        self.largest = max(self.largest, differences.max().item())
        self.sum += differences.double().sum().item()
        self.equal += int(equal.sum())
        self.values += differences.numel()
