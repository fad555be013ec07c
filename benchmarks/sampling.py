"""How long sampling takes: our sampler beside the textbook loop, on the same noise in the same run.

Owns the cases, the clock and the table. Knows nothing of how either samples.

    python -m benchmarks.sampling [--checkpoint NAME] [--device cpu] [--json FILE]
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.textbook import textbook_sample
from model import TarFlow, load, sample
from model.device import find_device

COLUMNS = "batch  guidance  textbook ms  sequential ms  ratio  max abs error"


@dataclass(frozen=True)
class Case:
    """Medians of one batch size and guidance, and how far the two results are apart."""

    batch: int
    guidance: float
    textbook_ms: float
    sequential_ms: float
    max_abs_error: float

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.textbook_ms / self.sequential_ms

    def line(self) -> str:
        """The case as a row of the table."""
        return (
            f"{self.batch:>5}  {self.guidance:>8g}  {self.textbook_ms:>11.1f}  {self.sequential_ms:>13.1f}"
            f"  {self.ratio:>5.2f}  {self.max_abs_error:>13.1e}"
        )


def median_ms(work: Callable[[], Tensor], device: torch.device, repeats: int, threads: int) -> float:
    """Median time of `work` after one run to warm up, the device drained each time."""
    torch.set_num_threads(threads)
    times = []
    for _ in range(repeats + 1):
        started_s = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append((time.perf_counter() - started_s) * 1e3)
    return statistics.median(times[1:])


def measure(flow: TarFlow, device: torch.device, batch: int, guidance: float, repeats: int) -> Case:
    """Time both samplers; the textbook on torch's own number of threads, ours on one, as the workers run it."""
    config = flow.config
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(batch, config.patches, config.patch_dims, generator=generator).to(device)
    labels = (torch.arange(batch) % config.num_classes).to(device) if config.num_classes else None

    def textbook() -> Tensor:
        return textbook_sample(flow, noise, labels, guidance)

    def sequential() -> Tensor:
        return sample(flow, noise, labels, guidance, method="sequential")

    return Case(
        batch=batch,
        guidance=guidance,
        textbook_ms=median_ms(textbook, device, repeats, threads=os.cpu_count() or 1),
        sequential_ms=median_ms(sequential, device, repeats, threads=1),
        max_abs_error=float((textbook() - sequential()).abs().max()),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every case and print the table."""
    parsed = _parser().parse_args(arguments)
    device = find_device(parsed.device)
    flow = load(parsed.checkpoint, device)
    print(f"{parsed.checkpoint} on {device}, {os.cpu_count()} cores, torch {torch.__version__}, {platform.machine()}")
    print(COLUMNS)
    cases = []
    for batch in parsed.batch:
        for guidance in parsed.guidance:
            cases.append(measure(flow, device, batch, guidance, parsed.repeats))
            print(cases[-1].line(), flush=True)
    if parsed.json:
        parsed.json.write_text(json.dumps([asdict(case) for case in cases], indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description="Time the samplers.")
    parser.add_argument("--checkpoint", default="mnist-28", help="checkpoint folder or bundled name (%(default)s)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 16, 32], help="batch sizes")
    parser.add_argument("--guidance", type=float, nargs="+", default=[0.0, 2.0], help="weights")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
