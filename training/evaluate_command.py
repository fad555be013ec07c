"""The command `evaluate`: which figures are wanted, and where they go.

Owns its options, their bounds and the JSON it prints. Knows nothing of how a figure is computed.
"""

import argparse
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from model import TarFlow, load
from model.card import Card
from model.checkpoint import add_metrics, load_card
from model.device import find_device
from model.sampler import Method
from training.bounds import check_bounds
from training.comparison import check_pair, compare
from training.drawing import Drawing, labels_like
from training.evaluation import Evaluation, evaluate
from training.features import FeatureExtractor, load_inception, load_torchscript
from training.image_folder import ImageFolder, read_image_folder, report_unreadable
from training.manifold import NEIGHBOURS
from training.sample_quality import SampleQuality, sample_quality

# Option: lowest and highest value.
BOUNDS = {
    "batch_size": (1, 2**20),
    "samples": (NEIGHBOURS + 1, 2**24),
    "guidance": (0, 20),
    "seed": (0, 2**31),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line may say."""
    parser.set_defaults(run=run_evaluate)
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder or bundled name")
    parser.add_argument("--data", type=Path, required=True, help="test folder: a folder of class folders of images")
    parser.add_argument("--batch-size", type=int, default=100, help="images at a time (%(default)s)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda")
    parser.add_argument("--seed", type=int, default=0, help="of the noise draws and of the first sample (%(default)s)")
    parser.add_argument("--no-likelihood", action="store_true", help="leave bits/dim and Bayes accuracy out")
    parser.add_argument("--samples", type=int, help="draw so many and compare them with the test images")
    parser.add_argument("--guidance", type=float, help="of the samples; default: the checkpoint's")
    parser.add_argument("--reference", type=Path, help="folder to compare samples with; default: --data")
    networks = parser.add_mutually_exclusive_group()
    networks.add_argument("--features", type=Path, help="TorchScript file: uint8 (N, C, H, W) to floats (N, F)")
    networks.add_argument("--inception", type=Path, help="Inception v3 weights of torch-fidelity, for the FID")
    parser.add_argument(
        "--compare",
        metavar="method=A,B|checkpoint=NAME",
        help="instead: --samples pairs on the same noise, of two methods or with another checkpoint",
    )
    parser.add_argument("--record", action="store_true", help="write the figures into the checkpoint's card")


def run_evaluate(parsed: argparse.Namespace, given: list[str]) -> int:
    """Print the figures as JSON; 0 = done.

    Raises:
        ValueError, OSError, CheckpointError, DataError: An option, a file or a folder that cannot be used; nothing
            has been computed yet.
    """
    _check(parsed)
    card = load_card(parsed.checkpoint)
    flow = load(parsed.checkpoint, find_device(parsed.device))
    extractor, drawings = _extractor(parsed, flow), _drawings(parsed, flow, card)
    data = _read(parsed.data, flow, card)
    reference = _read(parsed.reference, flow, card) if parsed.reference else data
    report: dict[str, Any] = {}
    found = None if parsed.no_likelihood else evaluate(flow, data, parsed.batch_size, parsed.seed)
    quality = None
    if found:
        report |= found.to_json()
    if parsed.compare:
        labels = labels_like(reference.labels, parsed.samples, parsed.seed)
        report["comparison"] = compare(drawings, labels, parsed.batch_size, extractor).to_json()
        _warn(report["comparison"]["warning"])
    elif parsed.samples and extractor:
        (drawing,) = drawings.values()
        quality = sample_quality(drawing, extractor, reference, parsed.samples, parsed.batch_size)
        report["sample_quality"] = quality.to_json()
        _warn(quality.warning)
    print(json.dumps(report, indent=2))
    if parsed.record:
        add_metrics(parsed.checkpoint, _metrics(found, quality), f"tarflow {shlex.join(given)}")
    return 0


def _check(parsed: argparse.Namespace) -> None:
    """Raise ValueError for a value out of its bounds, or options that say nothing together."""
    check_bounds(parsed, BOUNDS)
    network = parsed.features or parsed.inception
    if network and not network.is_file():
        raise ValueError(f"--{'features' if parsed.features else 'inception'} {network}: no such file")
    if parsed.reference and not parsed.samples:
        raise ValueError("--reference needs --samples, what is compared with it")
    if parsed.compare and not parsed.samples:
        raise ValueError("--compare needs --samples, the number of pairs")
    if parsed.samples and not network and not parsed.compare:
        raise ValueError("--samples needs --features or --inception, whose features are compared")
    if network and not parsed.samples:
        raise ValueError("--features and --inception need --samples, how many to draw")
    if parsed.record and parsed.compare:
        raise ValueError("--record with --compare: a comparison is of two, and no figure of the checkpoint")
    if parsed.no_likelihood and not parsed.samples:
        raise ValueError("--no-likelihood without --samples leaves nothing to do")


def _extractor(parsed: argparse.Namespace, flow: TarFlow) -> FeatureExtractor | None:
    device = flow.var.device
    if parsed.features:
        extractor = load_torchscript(parsed.features, device)
    elif parsed.inception:
        extractor = load_inception(parsed.inception, device)
    else:
        return None
    extractor.check(flow.config.in_channels, flow.config.image_size)
    return extractor


def _drawings(parsed: argparse.Namespace, flow: TarFlow, card: Card) -> dict[str, Drawing]:
    """What is drawn by: one way, or the two that --compare names."""
    guidance = card.sampling.guidance if parsed.guidance is None else parsed.guidance
    sampling = replace(card.sampling, guidance=guidance)
    if not parsed.compare:
        return {"auto": Drawing(flow, sampling, "auto", parsed.seed)}
    kind, _, value = parsed.compare.partition("=")
    methods: list[Method] = [each for each in get_args(Method) if each in value.split(",")]
    if kind == "checkpoint" and value:
        others = replace(load_card(value).sampling, guidance=guidance)
        drawings = {
            f"checkpoint={parsed.checkpoint}": Drawing(flow, sampling, "auto", parsed.seed),
            parsed.compare: Drawing(load(value, flow.var.device), others, "auto", parsed.seed),
        }
    elif kind == "method" and len(value.split(",")) == len(methods) == 2:
        drawings = {f"method={method}": Drawing(flow, sampling, method, parsed.seed) for method in methods}
    else:
        known = ", ".join(get_args(Method))
        raise ValueError(f"--compare must be checkpoint=NAME or method=A,B of {known}, got {parsed.compare!r}")
    if len(drawings) < 2:
        raise ValueError(f"--compare {parsed.compare}: that is the checkpoint itself")
    check_pair(*drawings.values())
    return drawings


def _read(folder: Path, flow: TarFlow, card: Card) -> ImageFolder:
    config = flow.config
    data = read_image_folder(folder, config.image_size, config.in_channels, card.class_names, config.num_classes)
    report_unreadable(data)
    return data


def _warn(warning: str | None) -> None:
    if warning:
        print(f"tarflow evaluate: {warning}", file=sys.stderr)


def _metrics(found: Evaluation | None, quality: SampleQuality | None) -> dict[str, float]:
    """What goes into the card."""
    metrics: dict[str, float] = {}
    if found:
        metrics |= {"test_bits_per_dim": found.bits_per_dim, "test_images": found.images}
        if found.bayes_accuracy is not None:
            metrics["bayes_accuracy"] = found.bayes_accuracy
    if quality:
        at = f"at_guidance_{quality.guidance:g}"
        metrics |= {
            f"frechet_distance_{at}": quality.frechet_distance,
            f"precision_{at}": quality.precision,
            f"recall_{at}": quality.recall,
            f"frechet_samples_{at}": quality.samples,
        }
    return metrics
