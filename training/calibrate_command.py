"""The command `calibrate`: held-out real images in, a calibration in the checkpoint's folder out.

Owns its options and what it says. Knows nothing of features or fits.
"""

import argparse
import shlex
from datetime import UTC, datetime
from pathlib import Path

from model import load
from model.calibration import DEFAULT_NAME, Provenance
from model.calibration_files import FOLDER, check_name, save_calibration
from model.checkpoint import find, load_card
from model.device import find_device
from pictures.complexity import encoder, probe_lengths
from training.bounds import check_bounds
from training.calibrator import calibrate, draw, read_held_out, report_draw
from training.image_folder import read_image_folder, report_unreadable

# Option: lowest and highest value.
BOUNDS = {"images": (0, 2**31), "seed": (0, 2**32 - 1)}


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command line may say."""
    parser.set_defaults(run=run_calibrate)
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder or bundled name; written to")
    parser.add_argument("--data", type=Path, required=True, help="held-out real images, in class folders")
    parser.add_argument("--name", default=DEFAULT_NAME, help="of the calibration (%(default)s)")
    parser.add_argument("--train-data", type=Path, help="the training images: those found there are left out")
    parser.add_argument("--images", type=int, default=0, help="draw so many of the data; 0 = all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (%(default)s)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda")


def run_calibrate(parsed: argparse.Namespace, given: list[str]) -> int:
    """Write the calibration and print its facts; 0 = done.

    Raises:
        CheckpointError, DataError, ValueError, OSError: A checkpoint, data or option that cannot be used.
    """
    check_bounds(parsed, BOUNDS)
    name, folder, card = check_name(parsed.name), find(parsed.checkpoint), load_card(parsed.checkpoint)
    flow = load(folder, find_device(parsed.device))
    data = read_held_out(parsed.data, flow.config, card.class_names)
    report_unreadable(data)
    train = None
    if parsed.train_data:
        train = read_image_folder(parsed.train_data, flow.config.image_size, flow.config.in_channels, card.class_names)
    drawn = draw(data, parsed.images, parsed.seed, train)
    report_draw(drawn)
    (folder / FOLDER).mkdir(exist_ok=True)  # where that cannot be done is told before the long part
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
        encoder=encoder(),
        png_lengths=probe_lengths(),
    )
    calibration = calibrate(flow, data, drawn, name, provenance)
    print(save_calibration(calibration, folder).read_text(), end="")
    return 0
