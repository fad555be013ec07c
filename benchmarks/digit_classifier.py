"""A judge of digits: a small convolutional network for 28 x 28 grey images.

Owns its architecture, its training and its file, which says how well it does on images it never saw.
Knows nothing of flows, so that it can judge their samples. Train it with

    python -m benchmarks.digit_classifier --data DIR/train --test DIR/test --out FILE.safetensors
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from training.image_folder import DataError, ImageFolder, read_image_folder
from training.progress import Progress

IMAGE_SIZE = 28
LARGEST_SHIFT = 2  # pixels; a shifted digit is the same digit
BATCH_SIZE = 128
WEIGHT_DECAY = 1e-2


class DigitClassifier(nn.Module):
    """Two convolutions and two linear layers: uint8 pixels (N, 1, 28, 28) to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(1, 32),
            *_convolution(32, 64),
            nn.Flatten(),
            nn.Linear(64 * (IMAGE_SIZE // 4) ** 2, 128),
            nn.ReLU(),
            nn.Dropout(0.25),
            nn.Linear(128, classes),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, classes) of uint8 pixels."""
        return self.layers(pixels / 127.5 - 1)


@dataclass(frozen=True)
class Judge:
    """A trained classifier, the names of its classes in label order and its share right on test images."""

    network: nn.Module
    class_names: tuple[str, ...]
    test_accuracy: float

    @torch.no_grad()
    def names(self, pixels: Tensor) -> list[str]:
        """The most likely class of each of uint8 pixels (N, 1, 28, 28)."""
        batches = [self.network(batch).argmax(dim=1) for batch in pixels.split(BATCH_SIZE)]
        return [self.class_names[index] for index in torch.cat(batches).tolist()]


def train_judge(train: ImageFolder, test: ImageFolder, epochs: int, learning_rate: float, seed: int) -> Judge:
    """Fit a judge to `train` and measure it on `test`."""
    torch.manual_seed(seed)
    network = DigitClassifier(len(train.class_names))
    steps = epochs * (len(train) // BATCH_SIZE)
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    progress = Progress("training the judge, step", steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(train)).split(BATCH_SIZE)[: steps // epochs]:
            loss = F.cross_entropy(network(shifted(train.pixels[chosen])), train.labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.advance(note=f"loss {loss.item():.4f}")
    judge = Judge(network.eval(), train.class_names, test_accuracy=0.0)
    return replace(judge, test_accuracy=_accuracy(judge, test))


def shifted(pixels: Tensor) -> Tensor:
    """Pixels (N, C, H, W), each image moved by its own random shift of up to `LARGEST_SHIFT`, edges black."""
    rows = torch.arange(len(pixels))
    across, down = torch.randint(2 * LARGEST_SHIFT + 1, (2, len(pixels)))
    windows = F.pad(pixels, (LARGEST_SHIFT,) * 4).unfold(2, pixels.shape[2], 1).unfold(3, pixels.shape[3], 1)
    return windows[rows, :, down, across]


def save_judge(judge: Judge, file: Path, command: str) -> None:
    """Write weights and what is known of them into one file."""
    metadata = {
        "class_names": json.dumps(judge.class_names),
        "test_accuracy": repr(judge.test_accuracy),
        "command": command,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(judge.network.state_dict(), file, metadata)


def load_judge(file: Path) -> Judge:
    """The judge in `file`.

    Raises:
        ValueError: It cannot be read or is no judge's file.
    """
    try:
        with safe_open(file, "pt") as stored:
            metadata = stored.metadata() or {}
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
        class_names = tuple(json.loads(metadata["class_names"]))
        network = DigitClassifier(len(class_names))
        network.load_state_dict(state)
        return Judge(network.eval(), class_names, float(metadata["test_accuracy"]))
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise ValueError(f"{file}: not a digit classifier: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write a judge; 0 = done, 2 = data that cannot be used."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser().parse_args(given)
    started_s = time.perf_counter()
    try:
        train = read_image_folder(parsed.data, IMAGE_SIZE, in_channels=1)
        test = read_image_folder(parsed.test, IMAGE_SIZE, in_channels=1, class_names=train.class_names)
    except DataError as error:
        print(f"digit_classifier: {error}", file=sys.stderr)
        return 2
    judge = train_judge(train, test, parsed.epochs, parsed.learning_rate, parsed.seed)
    save_judge(judge, parsed.out, f"python -m benchmarks.digit_classifier {shlex.join(given)}")
    seconds = time.perf_counter() - started_s
    print(json.dumps({"test_accuracy": judge.test_accuracy, "test_images": len(test), "seconds": round(seconds, 1)}))
    return 0


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    """A convolution that halves the side of its images."""
    # Pooling first: normalising and rectifying a quarter of the values costs a quarter.
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.ReLU()


def _accuracy(judge: Judge, data: ImageFolder) -> float:
    truth = [data.class_names[label] for label in data.labels.tolist()]
    return sum(name == right for name, right in zip(judge.names(data.pixels), truth, strict=True)) / len(data)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.digit_classifier", description="Train a judge of digits."
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of class folders to learn from")
    parser.add_argument("--test", type=Path, required=True, help="folder of class folders to be measured on")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--epochs", type=int, default=4, help="passes over the data (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="peak of the one cycle (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and shifts (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
