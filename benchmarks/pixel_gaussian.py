"""The yardstick of sample figures: pictures from a Gaussian of each class in pixel space.

Owns that Gaussian, the mean and the covariance of a class's training images, and what its pictures are worth to a
judge and to features. A model of images that comes no nearer to real ones has learnt nothing more than these two
moments. Knows nothing of flows.

    python -m benchmarks.pixel_gaussian --data DIR/train --reference DIR/test --classifier FILE.safetensors \
        --features FILE.pt --samples 10000
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.classifier import Judge, load_judge
from model.device import find_device
from model.pixels import contact_sheet
from training.bounds import check_bounds
from training.drawing import labels_like
from training.features import FeatureExtractor, load_torchscript
from training.frechet import frechet_distance
from training.image_folder import ImageFolder, read_image_folder, report_unreadable
from training.sample_quality import bias_warning
from training.sample_sheet import to_image

FEWEST_IMAGES = 2
SHEET_COLUMNS = 10
# Option: lowest and highest value.
BOUNDS = {"samples": (2, 2**24), "batch_size": (1, 2**20), "seed": (0, 2**31)}


def draw(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` uint8 pixels (count, C, H, W) of the Gaussian with the moments of uint8 images (N, C, H, W).

    A draw is the mean plus the images' deviations from it, each weighted by a standard normal over sqrt(N - 1): its
    covariance is the unbiased one of the images, exactly, however many values they have, and no matrix of their
    square is made. Rounded, and clipped to [0, 255].

    Raises:
        ValueError: Fewer than two images.
    """
    if len(images) < FEWEST_IMAGES:
        raise ValueError(f"a covariance needs at least {FEWEST_IMAGES} images, got {len(images)}")
    flat = images.flatten(1).float()
    mean = flat.mean(dim=0)
    weights = torch.randn(count, len(flat), generator=generator).to(flat.device) / (len(flat) - 1) ** 0.5
    drawn = mean + weights @ (flat - mean)
    return drawn.round().clamp(0, 255).to(torch.uint8).view(count, *images.shape[1:])


def draw_classes(data: ImageFolder, labels: Tensor, seed: int, device: torch.device) -> Tensor:
    """uint8 pixels (N, C, H, W) on the CPU, image i of the Gaussian of class labels[i].

    Raises:
        ValueError: Fewer than two images of a class.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.empty(len(labels), *data.pixels.shape[1:], dtype=torch.uint8)
    for label in labels.unique().tolist():
        chosen = labels == label
        try:
            drawn[chosen] = draw(data.pixels[data.labels == label].to(device), int(chosen.sum()), generator).cpu()
        except ValueError as error:
            raise ValueError(f"class {data.class_names[label]}: {error}") from error
    return drawn


def recognised(judge: Judge, pixels: Tensor, labels: Tensor, class_names: Sequence[str]) -> dict[str, float]:
    """The share of pixels (N, C, H, W) that the judge takes for their class, by class."""
    found = judge.names(pixels)
    shares = {}
    for label in labels.unique().tolist():
        of_class = [name for name, own in zip(found, labels.tolist(), strict=True) if own == label]
        shares[class_names[label]] = of_class.count(class_names[label]) / len(of_class)
    return shares


def measure(parsed: argparse.Namespace) -> dict[str, Any]:
    """Draw, judge and compare; write the sheet where one is asked for.

    Raises:
        ValueError: An option, a file or a folder that cannot be used, or that do not fit each other.
    """
    started_s = time.perf_counter()
    check_bounds(parsed, BOUNDS)
    device = find_device(parsed.device)
    judge, extractor = load_judge(parsed.classifier, device), load_torchscript(parsed.features, device)
    extractor.check(judge.architecture.in_channels, judge.architecture.image_size)
    data, reference = (_read(folder, judge) for folder in (parsed.data, parsed.reference))
    labels = labels_like(reference.labels, parsed.samples, parsed.seed)
    drawn = draw_classes(data, labels, parsed.seed, device)
    if parsed.out:
        parsed.out.parent.mkdir(parents=True, exist_ok=True)
        to_image(_sheet(drawn, labels)).save(parsed.out)
    return _figures(judge, extractor, drawn, labels, reference, parsed.batch_size) | {
        "seed": parsed.seed,
        "seconds": round(time.perf_counter() - started_s, 1),
    }


def _figures(
    judge: Judge, extractor: FeatureExtractor, drawn: Tensor, labels: Tensor, reference: ImageFolder, batch_size: int
) -> dict[str, Any]:
    real, fake = (extractor.features(pixels, batch_size) for pixels in (reference.pixels, drawn))
    shares = recognised(judge, drawn, labels, reference.class_names)
    counts = {reference.class_names[label]: int((labels == label).sum()) for label in labels.unique().tolist()}
    return {
        "samples": len(drawn),
        "reference_images": len(reference),
        "features": extractor.name,
        "feature_count": real.shape[1],
        "frechet_distance": frechet_distance(fake, real),
        "recognised": sum(shares[name] * count for name, count in counts.items()) / len(drawn),
        "recognised_by_class": shares,
        "classifier_test_accuracy": judge.test_accuracy,
        "warning": bias_warning(min(len(drawn), len(reference)), real.shape[1]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print JSON; 0 = done, 2 = a bad argument or input."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser().parse_args(given)
    try:
        report = {"command": f"python -m benchmarks.pixel_gaussian {shlex.join(given)}"} | measure(parsed)
    except (ValueError, OSError) as error:
        print(f"pixel_gaussian: {error}", file=sys.stderr)
        return 2
    text = json.dumps(report, indent=2)
    print(text)
    if parsed.json:
        parsed.json.write_text(text + "\n")
    return 0


def _read(folder: Path, judge: Judge) -> ImageFolder:
    taken = judge.architecture
    data = read_image_folder(folder, taken.image_size, taken.in_channels, judge.class_names)
    report_unreadable(data)
    return data


def _sheet(drawn: Tensor, labels: Tensor) -> Tensor:
    """The first pictures of each class, a class a row."""
    columns = min(SHEET_COLUMNS, *(int((labels == label).sum()) for label in labels.unique()))
    rows = [drawn[labels == label][:columns] for label in labels.unique()]
    return contact_sheet(torch.cat(rows), columns)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pixel_gaussian", description="What a Gaussian in pixel space is worth."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of class folders that it is fitted to")
    parser.add_argument("--reference", type=Path, required=True, help="folder that its pictures are compared with")
    parser.add_argument("--classifier", type=Path, required=True, help="file of benchmarks.classifier")
    parser.add_argument("--features", type=Path, required=True, help="file of benchmarks.classifier_features")
    parser.add_argument("--samples", type=int, default=10_000, help="pictures to draw (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=500, help="pictures at a time (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of classes and pictures (%(default)s)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda")
    parser.add_argument("--out", type=Path, help="PNG of the first pictures of each class")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
