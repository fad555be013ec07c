"""Are samples recognised as what they were asked to be? An independent classifier judges.

Owns the drawing of samples class by class and the share recognised, for each guidance. Knows
nothing of how the judge was trained; its own accuracy is printed beside the shares, which are
worth no more than it is. Run it with

    python -m benchmarks.recognition --checkpoint NAME --classifier FILE --per-class 50
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.classifier import Judge, load_judge
from model import TarFlow, load
from model.card import SamplingDefaults
from model.checkpoint import add_metrics, load_card
from model.device import find_device
from model.pixels import contact_sheet
from training.progress import Progress
from training.sample_sheet import class_samples, to_image

SHEET_COLUMNS = 10


@dataclass(frozen=True)
class Recognition:
    """Of `count` samples at `guidance`, the share the judge takes for their class, over all and by class."""

    guidance: float
    count: int
    share: float
    share_by_class: dict[str, float]
    seconds: float


def draw(flow: TarFlow, per_class: int, sampling: SamplingDefaults, batch_size: int, seed: int) -> Tensor:
    """uint8 pixels (classes * per_class, C, H, W), class by class; every guidance starts from the same noise."""
    labels = torch.arange(flow.config.num_classes).repeat_interleave(per_class)
    progress = Progress(f"sampling at guidance {sampling.guidance:g}, image", len(labels))
    batches = []
    for index, batch in enumerate(labels.split(batch_size)):
        batches.append(class_samples(flow, batch, sampling, seed + index))
        progress.advance(len(batch))
    return torch.cat(batches)


def recognition(
    judge: Judge, pixels: Tensor, class_names: Sequence[str], guidance: float, seconds: float
) -> Recognition:
    """The judge's verdict on samples drawn class by class, the same number of each."""
    per_class = len(pixels) // len(class_names)
    found = judge.names(pixels)
    right = {name: found[row * per_class : (row + 1) * per_class].count(name) for row, name in enumerate(class_names)}
    shares = {name: count / per_class for name, count in right.items()}
    return Recognition(guidance, len(pixels), sum(right.values()) / len(pixels), shares, seconds)


def check_judge(judge: Judge, flow: TarFlow, class_names: Sequence[str]) -> None:
    """Raise ValueError unless the judge can judge this flow's images and knows its classes."""
    made, judged = (flow.config.in_channels, flow.config.image_size), judge.architecture
    if made != (judged.in_channels, judged.image_size):
        raise ValueError(
            f"the classifier judges {judged.images}, the flow's have {made[0]} channels and {made[1]} pixels"
        )
    if not class_names:
        raise ValueError("the checkpoint names no classes to be recognised")
    if unknown := sorted(set(class_names) - set(judge.class_names)):
        raise ValueError(f"the classifier does not know the checkpoint's classes {unknown}")


def sheet(drawn: Sequence[Tensor], classes: int) -> Tensor:
    """The first samples of each class a row, one guidance beside the other: pixels (C, height, width)."""
    parts = [pixels.unflatten(0, (classes, -1))[:, :SHEET_COLUMNS] for pixels in drawn]
    rows = torch.cat(parts, dim=1)
    return contact_sheet(rows.flatten(0, 1), columns=rows.shape[1])


def table(results: Sequence[Recognition], judge: Judge) -> str:
    """The results for people, one line a guidance."""
    names = list(results[0].share_by_class)
    lines = [f"classifier's own test accuracy: {judge.test_accuracy:.2%}"]
    lines.append("guidance  samples  recognised  seconds  " + "  ".join(f"{name:>6}" for name in names))
    for result in results:
        shares = "  ".join(f"{result.share_by_class[name]:>6.1%}" for name in names)
        lines.append(
            f"{result.guidance:>8g}  {result.count:>7}  {result.share:>10.1%}  {result.seconds:>7.1f}  {shares}"
        )
    return "\n".join(lines)


def measure(parsed: argparse.Namespace) -> tuple[Judge, list[Recognition]]:
    """Draw and judge at every guidance asked for; write the sheet where one is.

    Raises:
        ValueError: A checkpoint or classifier that cannot be read, or that do not fit each other.
    """
    device = find_device(parsed.device)
    judge, flow = load_judge(parsed.classifier, device), load(parsed.checkpoint, device)
    card = load_card(parsed.checkpoint)
    class_names = card.class_names
    check_judge(judge, flow, class_names)
    drawn, results = [], []
    # Each once, in order: the checkpoint's own may be 0.
    for guidance in dict.fromkeys(parsed.guidance or (card.sampling.guidance, 0.0)):
        started_s, sampling = time.perf_counter(), replace(card.sampling, guidance=guidance)
        drawn.append(draw(flow, parsed.per_class, sampling, parsed.batch_size, parsed.seed))
        results.append(recognition(judge, drawn[-1], class_names, guidance, time.perf_counter() - started_s))
    if parsed.out:
        parsed.out.parent.mkdir(parents=True, exist_ok=True)
        to_image(sheet(drawn, len(class_names))).save(parsed.out)
    return judge, results


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table and JSON; 0 = done, 2 = a bad argument or input."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser().parse_args(given)
    try:
        if min(parsed.per_class, parsed.batch_size) < 1:
            raise ValueError("--per-class and --batch-size must be at least 1")
        judge, results = measure(parsed)
    except (ValueError, OSError) as error:
        print(f"recognition: {error}", file=sys.stderr)
        return 2
    report: dict[str, Any] = {
        "command": f"python -m benchmarks.recognition {shlex.join(given)}",
        "checkpoint_digest": load_card(parsed.checkpoint).digest,
        "classifier_test_accuracy": judge.test_accuracy,
        "results": [asdict(result) for result in results],
    }
    print(table(results, judge))
    print(json.dumps(report))
    if parsed.json:
        parsed.json.write_text(json.dumps(report, indent=2) + "\n")
    if parsed.record:
        shares = {f"recognised_at_guidance_{each.guidance:g}": each.share for each in results}
        add_metrics(parsed.checkpoint, shares, report["command"])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recognition", description="Judge samples.")
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder or bundled name")
    parser.add_argument("--classifier", type=Path, required=True, help="file of benchmarks.classifier")
    parser.add_argument("--per-class", type=int, default=50, help="samples of each class (%(default)s)")
    parser.add_argument(
        "--guidance", type=float, nargs="+", help="weights to compare; default: the checkpoint's, and 0"
    )
    parser.add_argument("--batch-size", type=int, default=100, help="samples at a time (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first batch's noise (%(default)s)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda")
    parser.add_argument("--out", type=Path, help="PNG of the first samples of each class")
    parser.add_argument("--record", action="store_true", help="write the shares into the checkpoint's card")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
