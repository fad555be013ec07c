"""The commands `train`, `evaluate`, `calibrate` and `import`: arguments in, exit status out.

Runs on torch, pillow and tqdm alone, so that a bare GPU machine can train; under torchrun as
`torchrun --nproc-per-node N -m training train ...`.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from model import CheckpointError, load, save
from model.calibration import DEFAULT_NAME, Provenance
from model.calibration_files import check_name, save_calibration
from model.card import Card, SamplingDefaults
from model.checkpoint import add_metrics, find, load_card
from model.config import NoiseType
from model.device import find_device
from model.published import facts_of_name
from training.calibrator import calibrate, draw, read_held_out, report_draw
from training.evaluation import evaluate
from training.image_folder import DataError, read_image_folder
from training.options import TrainOptions
from training.process_group import process_group
from training.run_folder import ResumeError
from training.trainer import Diverged, report_unreadable, train

HELP = {
    "data": "folder of class folders of images",
    "out": "folder of the run: options, log, state, checkpoint, sample sheets",
    "image_size": "side of the training images in pixels; others are resized and cropped",
    "patch_size": "side of a patch in pixels",
    "channels": "width of the Transformers",
    "blocks": "flow blocks",
    "layers_per_block": "Transformer layers in a flow block",
    "head_dim": "width of an attention head",
    "in_channels": "1 = grey, 3 = RGB",
    "unconditional": "ignore the classes",
    "noise_type": "gaussian: for sampling; uniform: dequantised, for bits/dim",
    "noise_std": "standard deviation of the Gaussian noise, images in [-1, 1]",
    "epochs": "passes over the data",
    "batch_size": "images a step, over all processes",
    "learning_rate": "peak learning rate of AdamW",
    "final_learning_rate": "where the cosine ends",
    "warmup_epochs": "epochs of linear warm-up",
    "weight_decay": "weight decay of AdamW",
    "clip": "largest gradient norm; 0 = no clipping",
    "ema": "decay of the averaged weights",
    "label_drop": "share of labels dropped, for guidance",
    "seed": "seed of everything random",
    "device": "auto, cpu, cuda",
    "precision": "bf16 = autocast; pays on GPUs and CPUs with bf16 units",
    "compile": "torch.compile the flow blocks",
    "resume": "continue the run in --out",
    "init": "checkpoint folder or bundled name whose weights to start from",
    "save_every": "steps between saved states",
    "sheet_every": "steps between sample sheets; 0 = only at the end",
    "stop_after": "stop at this step, to be resumed later; 0 = at the end",
    "guidance": "default guidance of the checkpoint",
    "trained_on": "name of the data, for the checkpoint's card",
    "data_licence": "licence of the data, for the card",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 = done, 2 = a bad argument or input, 1 = it failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = _parser().parse_args(given)
    try:
        return parsed.run(parsed, given)
    except (CheckpointError, DataError, ResumeError, ValueError, OSError) as error:
        print(f"tarflow {parsed.command_name}: {error}", file=sys.stderr)
        return 2
    except Diverged as error:
        print(f"tarflow {parsed.command_name}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tarflow")
    commands = parser.add_subparsers(dest="command_name", required=True)
    training = commands.add_parser("train", help="train a flow on a folder of class folders")
    training.set_defaults(run=_train)
    for option in fields(TrainOptions):
        if option.name != "command":
            training.add_argument("--" + option.name.replace("_", "-"), **_argument(option))
    evaluation = commands.add_parser("evaluate", help="bits/dim and Bayes-classifier accuracy on a test folder")
    evaluation.set_defaults(run=_evaluate)
    evaluation.add_argument("--checkpoint", required=True, help="checkpoint folder or bundled name")
    evaluation.add_argument("--data", type=Path, required=True, help=HELP["data"])
    evaluation.add_argument("--batch-size", type=int, default=100, help="images at a time")
    evaluation.add_argument("--device", default="cpu", help="auto, cpu, cuda")
    evaluation.add_argument("--seed", type=int, default=0, help="of the noise draws")
    evaluation.add_argument("--record", action="store_true", help="write the figures into the checkpoint's card")
    calibration = commands.add_parser("calibrate", help="learn from held-out real images what is usual")
    calibration.set_defaults(run=_calibrate)
    calibration.add_argument("--checkpoint", required=True, help="checkpoint folder or bundled name; written to")
    calibration.add_argument("--data", type=Path, required=True, help="held-out real images, in class folders")
    calibration.add_argument("--name", default=DEFAULT_NAME, help="of the calibration (%(default)s)")
    calibration.add_argument("--train-data", type=Path, help="the training images: those found there are left out")
    calibration.add_argument("--images", type=int, default=0, help="draw so many of the data; 0 = all")
    calibration.add_argument("--seed", type=int, default=0, help="of the draw (%(default)s)")
    calibration.add_argument("--device", default="cpu", help="auto, cpu, cuda")
    importing = commands.add_parser("import", help="turn a published .pth state dict into a checkpoint folder")
    importing.set_defaults(run=_import)
    importing.add_argument("file", type=Path, help="the published file; its name's numbers are read")
    importing.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    importing.add_argument("--in-channels", type=int, default=3, help=HELP["in_channels"])
    importing.add_argument("--noise-std", type=float, help="where the file's name does not say it")
    importing.add_argument("--noise-type", choices=get_args(NoiseType), default="gaussian", help=HELP["noise_type"])
    importing.add_argument("--head-dim", type=int, default=64, help=HELP["head_dim"])
    importing.add_argument("--class-names", type=Path, help="text file, one class name a line, in label order")
    importing.add_argument("--guidance", type=float, default=2.0, help=HELP["guidance"])
    return parser


def _argument(option: Any) -> dict[str, Any]:
    """argparse keywords of a field of `TrainOptions`."""
    if option.type is bool:
        return {"action": "store_true", "help": HELP[option.name]}
    required = option.default is MISSING
    choices = get_args(option.type) or None
    return {
        "type": str if choices else option.type,
        "choices": choices,
        "required": required,
        "default": None if required else option.default,
        "help": HELP[option.name] + ("" if required else " (%(default)s)"),
    }


def _train(parsed: argparse.Namespace, given: list[str]) -> int:
    values = {option.name: getattr(parsed, option.name) for option in fields(TrainOptions) if option.name != "command"}
    world = os.environ.get("WORLD_SIZE")
    program = f"torchrun --nproc-per-node {world} -m training" if world else "tarflow"
    options = TrainOptions(**values, command=f"{program} {shlex.join(given)}")
    with process_group(options.device) as group:
        train(options, group)
    return 0


def _evaluate(parsed: argparse.Namespace, _given: list[str]) -> int:
    if parsed.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {parsed.batch_size}")
    flow = load(parsed.checkpoint, find_device(parsed.device))
    card = load_card(parsed.checkpoint)
    data = read_image_folder(parsed.data, flow.config.image_size, flow.config.in_channels, card.class_names)
    report_unreadable(data)
    found = evaluate(flow, data, parsed.batch_size, parsed.seed)
    print(json.dumps(found.to_json(), indent=2))
    if parsed.record:
        figures = {"test_bits_per_dim": found.bits_per_dim, "test_images": found.images}
        if found.bayes_accuracy is not None:
            figures["bayes_accuracy"] = found.bayes_accuracy
        add_metrics(parsed.checkpoint, figures)
    return 0


def _calibrate(parsed: argparse.Namespace, given: list[str]) -> int:
    if parsed.images < 0:
        raise ValueError(f"--images must be at least 0, got {parsed.images}")
    if not 0 <= parsed.seed < 2**32:
        raise ValueError(f"--seed must lie in 0..{2**32 - 1}, got {parsed.seed}")
    name, folder = check_name(parsed.name), find(parsed.checkpoint)
    if folder.is_file():
        raise CheckpointError(f"{folder}: a published file has no room for a calibration; `tarflow import` it first")
    flow, card = load(folder, find_device(parsed.device)), load_card(folder)
    shape = (flow.config.image_size, flow.config.in_channels)
    data = read_held_out(parsed.data, *shape, card.class_names)
    report_unreadable(data)
    train = read_image_folder(parsed.train_data, *shape, card.class_names) if parsed.train_data else None
    drawn = draw(data, parsed.images, parsed.seed, train)
    report_draw(drawn)
    provenance = Provenance(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        weights_digest=card.digest,
        data=str(parsed.data),
        drawn_from=len(data),
        seed=parsed.seed,
        fitted=len(drawn.fitted),
        compared=len(drawn.compared),
        unreadable=len(data.unreadable),
        leaked=drawn.leaked,
        command=f"tarflow {shlex.join(given)}",
    )
    calibration = calibrate(flow, data, drawn, name, provenance)
    print(save_calibration(calibration, folder).read_text(), end="")
    return 0


def _import(parsed: argparse.Namespace, given: list[str]) -> int:
    named = facts_of_name(parsed.file.name)
    noise_std = parsed.noise_std if parsed.noise_std is not None else named.get("noise_std")
    if noise_std is None:
        raise CheckpointError(f"{parsed.file.name} does not say its noise: give --noise-std")
    flow = load(
        parsed.file,
        in_channels=parsed.in_channels,
        noise_std=noise_std,
        noise_type=parsed.noise_type,
        head_dim=parsed.head_dim,
    )
    for name in ("patch_size", "channels", "blocks", "layers_per_block"):
        if named.get(name, getattr(flow.config, name)) != getattr(flow.config, name):
            raise CheckpointError(
                f"{name} is {named[name]} by the file's name, {getattr(flow.config, name)} by its tensors"
            )
    names = tuple(parsed.class_names.read_text().splitlines()) if parsed.class_names else ()
    sampling = SamplingDefaults(guidance=parsed.guidance, denoise=parsed.noise_type == "gaussian")
    card = Card(names, sampling, trained_on=named.get("data", ""), command=f"tarflow {shlex.join(given)}")
    save(flow, parsed.out, card)
    print(f"{parsed.out}: {flow.config}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
