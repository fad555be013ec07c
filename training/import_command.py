"""The command `import`: a published state dict into a checkpoint folder.

Owns its options and what the card of an imported flow says. Knows nothing of how a file is read.
"""

import argparse
import shlex
from pathlib import Path
from typing import Any, get_args

from model import CheckpointError, TarFlow, load, save
from model.card import Card, SamplingDefaults
from model.config import NoiseType
from model.published import facts_of_name
from training.bounds import check_bounds
from training.class_names import read_class_names

NAMED = ("patch_size", "channels", "blocks", "layers_per_block")
# Option: lowest and highest value.
BOUNDS = {"guidance": (0, 20)}


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line may say."""
    parser.set_defaults(run=run_import)
    parser.add_argument("file", type=Path, help="the published file; its name's numbers are read")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--in-channels", type=int, default=3, help="1 = grey, 3 = RGB (%(default)s)")
    parser.add_argument("--noise-std", type=float, help="where the file's name does not say it")
    parser.add_argument(
        "--noise-type",
        choices=get_args(NoiseType),
        default="gaussian",
        help="gaussian: for sampling; uniform: dequantised, for bits/dim (%(default)s)",
    )
    parser.add_argument("--head-dim", type=int, default=64, help="width of an attention head (%(default)s)")
    parser.add_argument(
        "--class-names",
        help="imagenet; or a file in label order: one name a line, or .csv with the columns index and name",
    )
    parser.add_argument("--guidance", type=float, default=2.0, help="default guidance of the checkpoint (%(default)s)")


def run_import(parsed: argparse.Namespace, given: list[str]) -> int:
    """Write the folder; 0 = done.

    Raises:
        CheckpointError: A file that is no TarFlow, or facts that contradict each other.
        ValueError, OSError: An option out of its bounds, or class names that cannot be read.
    """
    check_bounds(parsed, BOUNDS)
    named = facts_of_name(parsed.file.name)
    noise_std = parsed.noise_std if parsed.noise_std is not None else named.get("noise_std")
    if noise_std is None:
        raise CheckpointError(f"{parsed.file.name} does not say its noise: give --noise-std")
    names = read_class_names(parsed.class_names) if parsed.class_names else ()
    flow = load(
        parsed.file,
        in_channels=parsed.in_channels,
        noise_std=noise_std,
        noise_type=parsed.noise_type,
        head_dim=parsed.head_dim,
    )
    _check_name(flow, named)
    sampling = SamplingDefaults(guidance=parsed.guidance, denoise=parsed.noise_type == "gaussian")
    card = Card(names, sampling, trained_on=named.get("data", ""), command=f"tarflow {shlex.join(given)}")
    save(flow, parsed.out, card)
    print(f"{parsed.out}: {flow.config}")
    return 0


def _check_name(flow: TarFlow, named: dict[str, Any]) -> None:
    """Raise CheckpointError where the numbers of a file's name are not those of its tensors."""
    for name in NAMED:
        if named.get(name, getattr(flow.config, name)) != getattr(flow.config, name):
            raise CheckpointError(
                f"{name} is {named[name]} by the file's name, {getattr(flow.config, name)} by its tensors"
            )
