"""The commands `train`, `evaluate`, `calibrate`, `import` and `card`: arguments in, exit status out.

Runs on torch, safetensors and pillow alone, so that a bare GPU machine can train; under torchrun as
`torchrun --nproc-per-node N -m training train ...`.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any, get_args

from model import CheckpointError
from training import calibrate_command, card_command, evaluate_command, import_command
from training.image_folder import DataError
from training.options import TrainOptions
from training.process_group import process_group
from training.recipe import read_recipe, recipe_names
from training.run_folder import ResumeError
from training.trainer import Diverged, train

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
    "class_weight": "beside the images, learn which class each is of, by Bayes' rule: weight of its nats; 0 = off",
    "flip": "mirror half of the images, chosen anew each time",
    "seed": "seed of everything random",
    "device": "auto, cpu, cuda",
    "device_data_gib": "data up to this size is kept on the device, more in host memory",
    "precision": "bf16 = autocast; pays on GPUs and CPUs with bf16 units",
    "compile": "torch.compile the flow blocks",
    "accumulate": "pieces that a step's batch is computed in, where it does not fit at once",
    "shard": "under torchrun, share the weights out among the processes (FSDP2) instead of copying them (DDP)",
    "resume": "continue the run in --out",
    "resume_or_begin": "continue the run in --out, or begin it where there is none",
    "init": "checkpoint folder or bundled name whose weights to start from",
    "log_every": "steps between readings of the losses; 0 = each on a CPU, every 20th on a GPU",
    "save_every": "steps between saved states",
    "sheet_every": "steps between sample sheets; 0 = only at the end",
    "stop_after": "stop at this step, to be resumed later; 0 = at the end",
    "stop_after_s": "stop this many seconds after the start, to be resumed later; 0 = at the end",
    "weights_dtype": "of the checkpoint on disk",
    "part_mib": "largest part of the checkpoint's weights; 0 = one file",
    "tensorboard": "write the log for TensorBoard, too, into --out",
    "wandb": "project of Weights & Biases to tell the log, too",
    "guidance": "default guidance of the checkpoint",
    "trained_on": "name of the data, for the checkpoint's card",
    "data_licence": "licence of the data, for the card",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 = done, 2 = a bad argument or input, 1 = it failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command_name = given[0] if given else ""
    try:
        parsed = _parser(_recipe(given)).parse_args(given)
        return parsed.run(parsed, given)
    except (CheckpointError, DataError, ResumeError, ValueError, OSError) as error:
        print(f"tarflow {command_name}: {error}", file=sys.stderr)
        return 2
    except Diverged as error:
        print(f"tarflow {command_name}: {error}", file=sys.stderr)
        return 1


def _recipe(given: list[str]) -> dict[str, Any]:
    """The options that `--recipe` names, for the others to override."""
    asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    asked.add_argument("--recipe")
    name = asked.parse_known_args(given)[0].recipe
    return read_recipe(name) if name else {}


def _parser(recipe: dict[str, Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tarflow")
    commands = parser.add_subparsers(dest="command_name", required=True)
    training = commands.add_parser("train", help="train a flow on a folder of class folders", allow_abbrev=False)
    training.add_argument("--recipe", help=f"file of options, or {', '.join(recipe_names())}; others override it")
    for option in fields(TrainOptions):
        if option.name != "command":
            training.add_argument("--" + option.name.replace("_", "-"), **_argument(option, recipe))
    training.set_defaults(run=_train)
    evaluation = commands.add_parser("evaluate", help="likelihoods and samples beside a test folder")
    evaluate_command.add_options(evaluation)
    calibration = commands.add_parser("calibrate", help="learn from held-out real images what is usual")
    calibrate_command.add_options(calibration)
    importing = commands.add_parser("import", help="turn a published .pth state dict into a checkpoint folder")
    import_command.add_options(importing)
    card = commands.add_parser("card", help="the facts of a checkpoint and their page, README.md beside the weights")
    card_command.add_options(card)
    return parser


def _argument(option: Any, recipe: dict[str, Any]) -> dict[str, Any]:
    """argparse keywords of a field of `TrainOptions`."""
    default = recipe.get(option.name, option.default)
    if option.type is bool:
        return {"action": argparse.BooleanOptionalAction, "default": default, "help": HELP[option.name]}
    required = default is MISSING
    choices = get_args(option.type) or None
    return {
        "type": str if choices else option.type,
        "choices": choices,
        "required": required,
        "default": None if required else default,
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


if __name__ == "__main__":
    sys.exit(main())
