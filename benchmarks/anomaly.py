"""How well strange images are told from a model's own: our calibrated score beside four others.

Owns the protocol, which was fixed before the first run:

- Own images are a folder that the flow was not trained on. For each seed as many images are
  drawn as `tarflow calibrate` would; a fixed number of the other own images are the fresh ones.
- Foreign sets are made by `foreign_images` from the fresh images, or are another folder's images.
- A held-out class is a class of the own images that the calibration never sees; the flow was trained
  on it. The figure is the mean over all classes.
- Every contender gives one number, higher = stranger: `likelihood` -log p; `complexity` the distance of the
  PNG's length from its median over the calibration's images; `serra` -log2 p less the PNG's length (Serra et al.,
  2020); `typicality` the distance of -log p from its mean over the calibration's images (Nalisnick et al., 2019);
  `ours` the calibrated score, no class given; `ours, all` the same with `class=all`, at ten times the cost.
- Figures are the area under the ROC curve, and the share of fresh own images flagged where 95 % of the
  foreign ones are; then the false alarms at alpha, with the 99 % binomial interval round alpha.

    python -m benchmarks.anomaly --checkpoint NAME --own DIR --other NAME=DIR [--json FILE]
"""

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from benchmarks.foreign_images import CHANGES
from model import TarFlow, load
from model.calibration import Calibration, Reference, View
from model.calibration_files import calibration_names, load_calibration
from model.checkpoint import find, load_card
from model.features import feature_names
from training.calibrator import BATCH, MOST_FITTED, draw, reference, seen
from training.image_folder import ImageFolder, read_image_folder

ALPHAS = (0.01, 0.05)
Z_99 = 2.5758
OURS = {View.NONE: "ours", View.ALL: "ours, all"}


@dataclass(frozen=True)
class Seen:
    """What passes over N images found: features by view, patch log-likelihoods (N, T), PNG lengths in nats, labels."""

    features: Mapping[View, Tensor]
    patches: Tensor
    complexity: Tensor
    labels: Tensor

    def __getitem__(self, index: Tensor) -> "Seen":
        features = {view: each[index] for view, each in self.features.items()}
        return Seen(features, self.patches[index], self.complexity[index], self.labels[index])

    @property
    def log_probs(self) -> Tensor:
        """(N,) in nats."""
        return self.patches.sum(dim=1).nan_to_num(nan=-math.inf)


# By contender: area under the ROC curve, and false positives where 95 % are found.
Figures = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Row:
    """Figures of one foreign set, by contender."""

    foreign: str
    auroc: dict[str, float]
    false_positive_rate_at_95: dict[str, float]

    @classmethod
    def mean(cls, foreign: str, figures: Sequence[Figures]) -> Self:
        """Means over seeds."""
        means = [
            {name: statistics.fmean(each[name][part] for each in figures) for name in figures[0]} for part in (0, 1)
        ]
        return cls(foreign, *means)


def look(flow: TarFlow, pixels: Tensor, labels: Tensor, views: tuple[View, ...]) -> Seen:
    """Pass over uint8 pixels (N, C, H, W)."""
    found = [seen(flow, *batch, views) for batch in zip(pixels.split(BATCH), labels.split(BATCH), strict=True)]
    features = {view: torch.cat([each[view][0].cpu() for each in found]) for view in views}
    column = feature_names(flow.config, with_classes=False).index("complexity_bits_per_dim")
    complexity = features[View.NONE][:, column] * flow.config.dims * math.log(2)
    return Seen(features, torch.cat([each[View.NONE][1].double().cpu() for each in found]), complexity, labels)


@dataclass(frozen=True)
class Contest:
    """The contenders, each made ready on the images of one calibration; the first `fitted` of them to fit on."""

    usual: Seen
    fitted: int
    seed: int

    def numbers(self, images: Seen) -> dict[str, Tensor]:
        """Every contender's numbers (N,) of images; higher = stranger."""
        return {
            "likelihood": -images.log_probs,
            "complexity": (images.complexity - self.usual.complexity.median()).abs(),
            "serra": -images.log_probs - images.complexity,
            "typicality": (images.log_probs - self.usual.log_probs.mean()).abs(),
            **{OURS[view]: own.anomaly_scores(images.features[view]) for view, own in self.references.items()},
        }

    @cached_property
    def references(self) -> dict[View, Reference]:
        """Ours, by view."""
        patches = self.usual.patches
        return {
            view: reference(features, patches, self.fitted, self.seed) for view, features in self.usual.features.items()
        }


def auroc(own: Tensor, foreign: Tensor) -> float:
    """Share of pairs in which the foreign number is the higher, ties counted half: the area under the ROC curve."""
    ranked = own.sort().values
    below = torch.searchsorted(ranked, foreign, right=False) + torch.searchsorted(ranked, foreign, right=True)
    return float(below.double().mean()) / (2 * len(own))


def false_positive_rate(own: Tensor, foreign: Tensor, share: float = 0.95) -> float:
    """Share of own numbers at or above the threshold that `share` of the foreign ones reach."""
    threshold = foreign.sort(descending=True).values[math.ceil(share * len(foreign)) - 1]
    return float((own >= threshold).double().mean())


def interval(alpha: float, count: int) -> tuple[float, float]:
    """Where 99 % of shares of `count` draws lie that each come true with probability `alpha`."""
    half = Z_99 * math.sqrt(alpha * (1 - alpha) / count)
    return alpha - half, alpha + half


@dataclass(frozen=True)
class Protocol:
    """What is compared, on what."""

    flow: TarFlow
    own: ImageFolder
    others: Mapping[str, ImageFolder]
    views: tuple[View, ...]
    calibrating: int
    fresh: int

    def rows(self, seeds: int) -> list[Row]:
        """Figures of every foreign set."""
        own = look(self.flow, self.own.pixels, self.own.labels, self.views)
        found: dict[str, list[Figures]] = {}
        for seed in range(seeds):
            for name, figures in self._foreign(own, seed):
                found.setdefault(name, []).append(figures)
            for name, figures in self._held_out(own, seed):
                found.setdefault(name, []).append(figures)
        return [Row.mean(name, each) for name, each in found.items()]

    def _foreign(self, own: Seen, seed: int) -> Iterator[tuple[str, Figures]]:
        contest, rest = self._drawn(own, torch.arange(len(self.own)), seed)
        fresh = rest[: self.fresh]
        usual = contest.numbers(own[fresh])
        generator = torch.Generator().manual_seed(seed)
        for name, other in self.others.items():
            chosen = torch.randperm(len(other), generator=generator)[: self.fresh]
            yield name, _figures(usual, contest.numbers(self._look(other.pixels[chosen])))
        for name, change in CHANGES.items():
            yield name, _figures(usual, contest.numbers(self._look(change(self.own.pixels[fresh], generator))))

    def _held_out(self, own: Seen, seed: int) -> Iterator[tuple[str, Figures]]:
        for label in range(len(self.own.class_names)):
            others, held_out = (torch.nonzero(each).flatten() for each in (own.labels != label, own.labels == label))
            contest, rest = self._drawn(own, others, seed)
            usual = contest.numbers(own[rest[: self.fresh]])
            yield "held-out class", _figures(usual, contest.numbers(own[held_out[: self.fresh]]))

    def _drawn(self, own: Seen, index: Tensor, seed: int) -> tuple[Contest, Tensor]:
        """The contest after a calibration on some of the images at `index`, and the others of them."""
        order = index[torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))]
        chosen, rest = order[: self.calibrating], order[self.calibrating :]
        return Contest(own[chosen], min(len(chosen) // 2, MOST_FITTED), seed), rest

    def _look(self, pixels: Tensor) -> Seen:
        return look(self.flow, pixels, torch.full((len(pixels),), -1), self.views)


def _figures(own: Mapping[str, Tensor], foreign: Mapping[str, Tensor]) -> Figures:
    return {name: (auroc(own[name], each), false_positive_rate(own[name], each)) for name, each in foreign.items()}


@dataclass(frozen=True)
class FalseAlarms:
    """Share of fresh own images with p <= alpha, by the calibration as shipped."""

    calibration: str
    view: str
    alpha: float
    images: int
    share: float

    def line(self) -> str:
        """The share as a row of the table."""
        low, high = interval(self.alpha, self.images)
        held = "within" if low <= self.share <= high else "OUTSIDE"
        return (
            f"{self.calibration:<10} {self.view:<6} {self.alpha:>5g}  {self.images:>6}  {self.share:>7.2%}  "
            f"{held} {low:.2%}..{high:.2%}"
        )


def fresh_images(own: ImageFolder, calibration: Calibration) -> Tensor:
    """Indices of the images of a folder that a calibration drawn from it was not made from.

    Raises:
        ValueError: It left out images then, so that they cannot be told.
    """
    made = calibration.provenance
    if made.leaked:
        raise ValueError(f"calibration {calibration.name} left out images: which are fresh cannot be told")
    drawn = draw(own, made.fitted + made.compared, made.seed)
    taken = torch.zeros(len(own), dtype=torch.bool)
    taken[torch.cat([drawn.fitted, drawn.compared])] = True
    return torch.nonzero(~taken).flatten()


def false_alarms(flow: TarFlow, checkpoint: str, own: ImageFolder) -> Iterator[FalseAlarms]:
    """Of every calibration in the checkpoint, on the own images that it was not made from."""
    folder, digest = find(checkpoint), load_card(checkpoint).digest
    for name in calibration_names(folder):
        calibration = load_calibration(folder, name, digest, "cpu")
        fresh = fresh_images(own, calibration)
        views = tuple(view for view in calibration.references if view is not View.ALL)
        passes = look(flow, own.pixels[fresh], own.labels[fresh], views)
        for view in views:
            usual = calibration.references[view]
            p_values = usual.p_values(usual.anomaly_scores(passes.features[view]))
            for alpha in ALPHAS:
                yield FalseAlarms(name, view, alpha, len(fresh), float((p_values <= alpha).double().mean()))


def table(rows: Sequence[Row], title: str, figure: str) -> Iterator[str]:
    """One figure of every row, a line each; the best of a line with a star."""
    names = list(rows[0].auroc)
    yield f"{title:<22}" + "".join(f"{name:>12}" for name in names)
    for row in rows:
        values = getattr(row, figure)
        best = (max if figure == "auroc" else min)(values.values())
        cells = (f"{values[name]:.3f}{'*' if values[name] == best else ' '}" for name in names)
        yield f"{row.foreign:<22}" + "".join(f"{cell:>12}" for cell in cells)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the protocol and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anomaly", description="Tell strange images from own.")
    parser.add_argument("--checkpoint", default="mnist-28", help="checkpoint folder or bundled name (%(default)s)")
    parser.add_argument("--own", type=Path, required=True, help="held-out own images, in class folders")
    parser.add_argument("--other", action="append", default=[], metavar="NAME=DIR", help="foreign images")
    parser.add_argument("--calibrating", type=int, default=6000, help="own images a calibration takes (%(default)s)")
    parser.add_argument("--fresh", type=int, default=1000, help="images of each set (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="draws of calibration and sets (%(default)s)")
    parser.add_argument("--every-class", action="store_true", help="`ours, all` too: a pass per class and image")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(1)
    flow = load(parsed.checkpoint)
    shape = (flow.config.image_size, flow.config.in_channels)
    own = read_image_folder(parsed.own, *shape, load_card(parsed.checkpoint).class_names, flow.config.num_classes)
    others = {
        name: read_image_folder(Path(folder), *shape) for name, folder in (each.split("=", 1) for each in parsed.other)
    }
    views = (View.NONE, View.ALL) if parsed.every_class else (View.NONE,)
    rows = Protocol(flow, own, others, views, parsed.calibrating, parsed.fresh).rows(parsed.seeds)
    print(
        f"{parsed.checkpoint}, {parsed.seeds} seeds, {parsed.fresh} images a set, one thread of {os.cpu_count()} cores"
    )
    print("\n".join(table(rows, "area under ROC", "auroc")), flush=True)
    print("\n".join(table(rows, "false positives at 95 %", "false_positive_rate_at_95")), flush=True)
    alarms = list(false_alarms(flow, parsed.checkpoint, own))
    print("calibration view   alpha  images  alarms   99 % interval", *(each.line() for each in alarms), sep="\n")
    if parsed.json:
        body = {"rows": [asdict(row) for row in rows], "false_alarms": [asdict(each) for each in alarms]}
        parsed.json.write_text(json.dumps(body, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
