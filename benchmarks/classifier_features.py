"""A judge's features as a TorchScript file, for `tarflow evaluate --features`.

Owns how they are written: the values before the judge's last layer, in float32. Knows nothing of what they are
compared with.

    python -m benchmarks.classifier_features --classifier FILE.safetensors --out FILE.pt
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.classifier import load_judge
from benchmarks.networks import Classifier


class Features(nn.Module):
    """uint8 pixels (N, C, S, S) to features (N, F)."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (N, F) of uint8 pixels."""
        return self.classifier.features(pixels)


def write_features(classifier: Classifier, file: Path) -> None:
    """Write the classifier's features as a module of their own, which needs no code of ours."""
    taken = classifier.architecture
    example = torch.zeros(2, taken.in_channels, taken.image_size, taken.image_size, dtype=torch.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # see training.features
        torch.jit.trace(Features(classifier).eval(), example).save(str(file))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file; 0 = done, 2 = no such classifier."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.classifier_features", description="Export a classifier's features."
    )
    parser.add_argument("--classifier", type=Path, required=True, help="file of benchmarks.classifier")
    parser.add_argument("--out", type=Path, required=True, help="TorchScript file to write")
    parsed = parser.parse_args(arguments)
    try:
        judge = load_judge(parsed.classifier)
    except ValueError as error:
        print(f"classifier_features: {error}", file=sys.stderr)
        return 2
    assert isinstance(judge.network, Classifier)  # what load_judge builds
    write_features(judge.network, parsed.out)
    print(parsed.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
