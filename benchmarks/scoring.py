"""How long scoring takes beside the bare forward pass.

Owns the cases and their table. Knows nothing of requests.

    python -m benchmarks.scoring [--checkpoint NAME] [--device cpu] [--json FILE]
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.clock import medians_ms
from benchmarks.warm_device import warm_device
from model import TarFlow, load
from model.device import device_name
from model.pixels import bits_per_dim, to_images

COLUMNS = "batch  bare forward images/s  score images/s  share"


@dataclass(frozen=True)
class Rate:
    """Images a second of one batch size: pixels to results, and the network alone on images already there."""

    batch: int
    forward_images_per_s: float
    score_images_per_s: float

    def line(self) -> str:
        """The rate as a row of the table."""
        share = self.score_images_per_s / self.forward_images_per_s
        return f"{self.batch:>5}  {self.forward_images_per_s:>21.0f}  {self.score_images_per_s:>14.0f}  {share:>5.1%}"


def measure(flow: TarFlow, batch: int, repeats: int) -> Rate:
    """Time the way from uint8 pixels in host memory to numbers in Python, and the flow alone."""
    config, device = flow.config, flow.var.device
    shape = (batch, config.in_channels, config.image_size, config.image_size)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = to_images(pixels.to(device), config)
    labels = torch.zeros(batch, dtype=torch.int64, device=device) if config.num_classes else None

    @torch.no_grad()
    def forward() -> None:
        flow(images, labels)

    @torch.no_grad()
    def score() -> list[float]:
        log_prob = flow.log_prob(to_images(pixels.to(device), config), labels)
        return torch.stack([log_prob, bits_per_dim(log_prob, config.dims)]).tolist()

    times = medians_ms({"forward": forward, "score": score}, device, repeats)
    return Rate(batch, batch / times["forward"] * 1e3, batch / times["score"] * 1e3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every batch size and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description="Time scoring.")
    parser.add_argument("--checkpoint", default="mnist-28", help="checkpoint folder or bundled name (%(default)s)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16, 64], help="batch sizes")
    parser.add_argument("--repeats", type=int, default=9, help="timed runs of each (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(1)
    flow = load(parsed.checkpoint, warm_device(parsed.device))
    print(f"{parsed.checkpoint} on {device_name(flow.var.device)}, one thread of {os.cpu_count()} cores, float32")
    print(COLUMNS)
    rates = []
    for batch in parsed.batch:
        rates.append(measure(flow, batch, parsed.repeats))
        print(rates[-1].line(), flush=True)
        if parsed.json:  # as they come: who is cut off keeps what there is
            parsed.json.write_text(json.dumps([asdict(rate) for rate in rates], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
