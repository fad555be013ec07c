"""The digit judge's features as a TorchScript file, for `tarflow evaluate --features`.

Owns which layer they are: the 128 values before the judge's last one. Knows nothing of what they are compared with.

    python -m benchmarks.digit_features --classifier FILE.safetensors --out FILE.pt
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.digit_classifier import IMAGE_SIZE, DigitClassifier, load_judge

HEAD_LAYERS = 2  # dropout and the layer from features to logits


class DigitFeatures(nn.Module):
    """uint8 pixels (N, 1, 28, 28) to features (N, 128)."""

    def __init__(self, classifier: DigitClassifier) -> None:
        super().__init__()
        self.layers = classifier.layers[:-HEAD_LAYERS]

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (N, 128) of uint8 pixels."""
        return self.layers(pixels / 127.5 - 1)


def write_features(classifier: DigitClassifier, file: Path) -> None:
    """Write the classifier's features as a module of their own, which needs no code of ours."""
    example = torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE, dtype=torch.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # see training.features
        torch.jit.trace(DigitFeatures(classifier).eval(), example).save(str(file))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file; 0 = done, 2 = no such classifier."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.digit_features", description="Export the features.")
    parser.add_argument("--classifier", type=Path, required=True, help="file of benchmarks.digit_classifier")
    parser.add_argument("--out", type=Path, required=True, help="TorchScript file to write")
    parsed = parser.parse_args(arguments)
    try:
        judge = load_judge(parsed.classifier)
    except ValueError as error:
        print(f"digit_features: {error}", file=sys.stderr)
        return 2
    assert isinstance(judge.network, DigitClassifier)  # what load_judge builds
    write_features(judge.network, parsed.out)
    print(parsed.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
