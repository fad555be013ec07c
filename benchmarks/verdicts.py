"""What a calibration as shipped says of images that are nearly the model's own: how many of them it flags.

Owns the cases and their table: the model's own samples, class by class, at the checkpoint's guidance and denoised
where the flow can be; and real images as they are, saved as JPEG, or enlarged and sent back. The real ones are
fresh: the calibration was not made from them. Pixels go through a file and are fitted as an upload's are. Knows
nothing of foreign images: that is `anomaly.py`.

    python -m benchmarks.verdicts --checkpoint NAME --own DIR [--json FILE]
"""

import argparse
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchmarks.anomaly import fresh_images
from model import TarFlow, load
from model.calibration import DEFAULT_NAME, Calibration, View
from model.calibration_files import load_calibration
from model.checkpoint import find, load_card
from pictures.fitting import Shape, decode, fit
from training.calibrator import BATCH, seen
from training.image_folder import read_image_folder
from training.sample_sheet import class_samples, to_image

Saved = Callable[[Image.Image], bytes]


@dataclass(frozen=True)
class Row:
    """Of `images` of one kind, how many have p <= alpha."""

    kind: str
    images: int
    flagged: int

    def line(self) -> str:
        """The numbers as a row of the table."""
        return f"{self.kind:<31} {self.images:>6}  {self.flagged:>7}  {self.flagged / self.images:>6.1%}"


def as_jpeg(image: Image.Image, quality: int) -> bytes:
    """The file of an image, as a JPEG."""
    return _file(image, "JPEG", quality=quality)


def enlarged(image: Image.Image, side: int, how: Image.Resampling) -> bytes:
    """The file of an image that somebody has enlarged, as a PNG."""
    return _file(image.resize((side, side), how), "PNG")


def _file(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


SAVED: dict[str, Saved] = {
    "as they are": partial(_file, kind="PNG"),
    "JPEG of quality 75": partial(as_jpeg, quality=75),
    "JPEG of quality 95": partial(as_jpeg, quality=95),
    **{
        f"enlarged to {side}, {how.name.lower()}": partial(enlarged, side=side, how=how)
        for how, side in (
            (Image.Resampling.NEAREST, 112),
            (Image.Resampling.BILINEAR, 56),
            (Image.Resampling.BICUBIC, 32),
            (Image.Resampling.BICUBIC, 280),
            (Image.Resampling.LANCZOS, 100),
        )
    },
}


def sent_back(pixels: Tensor, saved: Saved) -> Tensor:
    """uint8 pixels (N, C, H, W) as a model gets them from their files."""
    shape = Shape(pixels.shape[2], pixels.shape[1])
    fitted = [fit(decode(io.BytesIO(saved(to_image(each)))), shape) for each in pixels]
    return torch.frombuffer(bytearray(b"".join(fitted)), dtype=torch.uint8).view(pixels.shape)


def flagged(flow: TarFlow, calibration: Calibration, pixels: Tensor, alpha: float) -> int:
    """How many of uint8 pixels (N, C, H, W), scored without a class, have p <= alpha."""
    usual = calibration.references[View.NONE]
    unlabelled = torch.full((BATCH,), -1)
    views = (View.NONE,)
    found = [seen(flow, each, unlabelled[: len(each)], views)[View.NONE][0].cpu() for each in pixels.split(BATCH)]
    return int((usual.p_values(usual.anomaly_scores(torch.cat(found))) <= alpha).sum())


def rows(parsed: argparse.Namespace) -> Iterator[Row]:
    """Every row of the table.

    Raises:
        ValueError: A checkpoint, calibration or folder that cannot be used.
    """
    flow, card = load(parsed.checkpoint), load_card(parsed.checkpoint)
    calibration = load_calibration(find(parsed.checkpoint), DEFAULT_NAME, card.digest, "cpu")
    own = read_image_folder(parsed.own, flow.config.image_size, flow.config.in_channels, card.class_names)
    fresh = fresh_images(own, calibration)
    # A folder lies class by class: the first images would be of one.
    fresh = fresh[torch.randperm(len(fresh), generator=torch.Generator().manual_seed(0))][: parsed.images]
    for kind, saved in SAVED.items():
        pixels = sent_back(own.pixels[fresh], saved)
        yield Row(f"real, {kind}", len(pixels), flagged(flow, calibration, pixels, parsed.alpha))
    for label, name in enumerate(card.class_names or range(max(1, flow.config.num_classes))):
        labels = torch.full((parsed.per_class,), label)
        pixels = class_samples(flow, labels, card.sampling, seed=label)
        yield Row(f"sample of class {name}", len(pixels), flagged(flow, calibration, pixels, parsed.alpha))


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, print a table and write JSON; 0 = done, 2 = a bad input."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts", description="Count what is flagged.")
    parser.add_argument("--checkpoint", default="mnist-28", help="checkpoint folder or bundled name (%(default)s)")
    parser.add_argument("--own", type=Path, required=True, help="held-out own images, in class folders")
    parser.add_argument("--images", type=int, default=500, help="real images of each kind (%(default)s)")
    parser.add_argument("--per-class", type=int, default=50, help="samples of each class (%(default)s)")
    parser.add_argument("--alpha", type=float, default=0.01, help="flagged is p <= alpha (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(f"{parsed.checkpoint}, alpha {parsed.alpha:g}", f"{'':<31} images  flagged   share", sep="\n")
    found = []
    try:
        for row in rows(parsed):
            print(row.line(), flush=True)
            found.append(row)
    except ValueError as error:
        print(f"verdicts: {error}", file=sys.stderr)
        return 2
    if parsed.json:
        parsed.json.write_text(json.dumps([asdict(each) for each in found], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
