"""A judge of small pictures: a classifier trained on real ones.

Owns what a judge is and its file, which says how well it does on images it never saw. Knows nothing of flows, so
that it can judge their samples. Train it with

    python -m benchmarks.classifier --data DIR/train --test DIR/test --out FILE.safetensors --flip --device auto
    python -m benchmarks.classifier --architecture small --image-size 28 --in-channels 1 --data … --test … --out …
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.classifier_training import RECIPES, Recipe, Training
from benchmarks.networks import DEFAULT_WIDTHS, Architecture, build, device_of
from model.device import device_name, find_device
from training.bounds import check_bounds
from training.image_folder import ImageFolder, read_image_folder, report_unreadable

JUDGED_AT_ONCE = 500
# Files older than the field are all of this.
FIRST_ARCHITECTURE = Architecture("small", image_size=28, in_channels=1)
# Option: lowest and highest value.
BOUNDS = {
    "epochs": (1, 10_000),
    "batch_size": (2, 2**16),
    "learning_rate": (1e-6, 10),
    "seed": (0, 2**31),
}


@dataclass(frozen=True)
class Judge:
    """A trained classifier, the names of its classes in label order and its share right on test images."""

    network: nn.Module
    architecture: Architecture
    class_names: tuple[str, ...]
    test_accuracy: float

    @torch.no_grad()
    def names(self, pixels: Tensor) -> list[str]:
        """The most likely class of each of uint8 pixels (N, C, H, W), wherever they lie."""
        device = device_of(self.network)
        found = [self.network(batch.to(device)).argmax(dim=1) for batch in pixels.split(JUDGED_AT_ONCE)]
        return [self.class_names[index] for index in torch.cat(found).tolist()]

    def accuracy(self, data: ImageFolder) -> float:
        """The share of images that it takes for what they are."""
        truth = [data.class_names[label] for label in data.labels.tolist()]
        return sum(name == right for name, right in zip(self.names(data.pixels), truth, strict=True)) / len(data)


def save_judge(judge: Judge, file: Path, command: str) -> None:
    """Write weights and what is known of them into one file."""
    metadata = {
        "architecture": json.dumps(asdict(judge.architecture)),
        "class_names": json.dumps(judge.class_names),
        "test_accuracy": repr(judge.test_accuracy),
        "command": command,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.cpu().contiguous() for name, value in judge.network.state_dict().items()}
    save_file(state, file, metadata)


def load_judge(file: Path, device: torch.device | None = None) -> Judge:
    """The judge in `file`, on the device; default the CPU.

    Raises:
        ValueError: It cannot be read or is no judge's file.
    """
    try:
        with safe_open(file, "pt") as stored:
            metadata = stored.metadata() or {}
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
        class_names = tuple(json.loads(metadata["class_names"]))
        architecture = FIRST_ARCHITECTURE
        if "architecture" in metadata:
            architecture = Architecture(**json.loads(metadata["architecture"]))
        network = build(architecture, len(class_names), state).eval().to(device)
        return Judge(network, architecture, class_names, float(metadata["test_accuracy"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{file}: not a classifier of benchmarks.classifier: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and write a judge; 0 = done, 2 = an option or data that cannot be used."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser().parse_args(given)
    started_s = time.perf_counter()
    try:
        check_bounds(parsed, BOUNDS)
        device = find_device(parsed.device)
        architecture = Architecture(parsed.architecture, parsed.image_size, parsed.in_channels, parsed.width)
        train = _read(parsed.data, architecture)
        test = _read(parsed.test, architecture, train.class_names)
        training = Training(train, architecture, _recipe(parsed), parsed.seed, device)
    except ValueError as error:
        print(f"classifier: {error}", file=sys.stderr)
        return 2
    training_s = time.perf_counter()
    training.run()
    judge = Judge(training.network.eval(), architecture, train.class_names, test_accuracy=0.0)
    judge = replace(judge, test_accuracy=judge.accuracy(test))
    save_judge(judge, parsed.out, f"python -m benchmarks.classifier {shlex.join(given)}")
    report = {
        "test_accuracy": judge.test_accuracy,
        "test_images": len(test),
        "weights": sum(weight.numel() for weight in judge.network.parameters()),
        "device": device_name(device),
        "training_seconds": round(time.perf_counter() - training_s, 1),
        "seconds": round(time.perf_counter() - started_s, 1),
    }
    print(json.dumps(report))
    return 0


def _recipe(parsed: argparse.Namespace) -> Recipe:
    """The architecture's recipe, with what the command line says otherwise."""
    names = ("epochs", "batch_size", "learning_rate", "flip")
    given = {name: getattr(parsed, name) for name in names if getattr(parsed, name) is not None}
    return replace(RECIPES[parsed.architecture], **given)


def _read(folder: Path, architecture: Architecture, class_names: Sequence[str] = ()) -> ImageFolder:
    data = read_image_folder(folder, architecture.image_size, architecture.in_channels, class_names)
    report_unreadable(data)
    return data


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifier", description="Train a judge of pictures.")
    parser.add_argument("--data", type=Path, required=True, help="folder of class folders to learn from")
    parser.add_argument("--test", type=Path, required=True, help="folder of class folders to be measured on")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--architecture", choices=DEFAULT_WIDTHS, default="residual", help="default: %(default)s")
    parser.add_argument("--image-size", type=int, default=32, help="side, a multiple of 4 in [16, 64] (%(default)s)")
    parser.add_argument("--in-channels", type=int, default=3, help="1 = grey, 3 = RGB (%(default)s)")
    parser.add_argument("--width", type=int, default=0, help="of the first convolution; 0 = the architecture's own")
    parser.add_argument("--flip", action="store_true", help="mirror half of the images, where a mirror image is one")
    parser.add_argument("--epochs", type=int, help="passes over the data; default: the architecture's own")
    parser.add_argument("--batch-size", type=int, help="images of a step; default: the architecture's own")
    parser.add_argument("--learning-rate", type=float, help="peak of the one cycle; default: the architecture's own")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order, shifts and flips (%(default)s)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda")
    return parser


if __name__ == "__main__":
    sys.exit(main())
