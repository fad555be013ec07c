"""How long sampling takes: every way beside the textbook loop, on the same noise in the same run.

Owns the cases, their table and how far the pictures are apart. Knows nothing of how any way samples.

    python -m benchmarks.sampling [--checkpoint NAME] [--device cpu] [--json FILE]
"""

import argparse
import copy
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from benchmarks.clock import medians_ms
from benchmarks.textbook import textbook_sample
from benchmarks.warm_device import warm_device
from model import Sampler, TarFlow, load, sample
from model.device import device_name
from model.pixels import to_pixels
from model.sampler import Method

Precision = Literal["float32", "bf16"]
METHODS: tuple[Method, ...] = ("sequential", "parallel", "auto")
TEXTBOOK, ON_ONE_THREAD = "textbook", "textbook, 1 thread"
COLUMNS = "precision  batch  guidance  way                      ms  ratio  max abs error  same pixels"


@dataclass(frozen=True)
class Timing:
    """One way through one batch.

    `ratio` is to the textbook loop of the same precision, on all cores or on one thread, whichever is faster.
    Errors are against the textbook loop in float32: the largest difference, images unclipped, and the share of
    8-bit pixels that are the same.
    """

    precision: Precision
    batch: int
    guidance: float
    way: str
    median_ms: float
    ratio: float
    max_abs_error: float
    same_pixels: float

    def line(self) -> str:
        """The timing as a row of the table."""
        return (
            f"{self.precision:<9}  {self.batch:>5}  {self.guidance:>8g}  {self.way:<18}  {self.median_ms:>7.1f}"
            f"  {self.ratio:>5.2f}  {self.max_abs_error:>13.1e}  {self.same_pixels:>11.4%}"
        )


def in_precision(flow: TarFlow, precision: Precision) -> TarFlow:
    """The flow, or a copy whose networks compute in bf16; latents stay float32."""
    if precision == "float32":
        return flow
    flow = copy.deepcopy(flow)
    for block in flow.blocks:
        block.to(torch.bfloat16)
    return flow


def measure(
    reference: TarFlow, flow: TarFlow, sampler: Sampler, precision: Precision, batch: int, guidance: float, repeats: int
) -> list[Timing]:  # fmt: skip
    """Time the textbook loop on all cores and, on a CPU, on one thread; and every method as a worker runs it."""
    config, device = flow.config, flow.var.device
    noise = torch.randn(batch, config.patches, config.patch_dims, generator=torch.Generator().manual_seed(0)).to(device)
    labels = (torch.arange(batch) % config.num_classes).to(device) if config.num_classes else None

    def textbook(flow: TarFlow, threads: int) -> Tensor:
        torch.set_num_threads(threads)
        return textbook_sample(flow, noise, labels, guidance)

    def ours(method: Method) -> Tensor:
        torch.set_num_threads(1)
        return sample(flow, noise, labels, guidance, method=method, sampler=sampler)

    cores = os.cpu_count() or 1
    ways: dict[str, Callable[[], Tensor]] = {TEXTBOOK: partial(textbook, flow, cores)}
    if device.type == "cpu":  # elsewhere the threads are not what computes
        ways[ON_ONE_THREAD] = partial(textbook, flow, 1)
    ways |= {name: partial(ours, name) for name in METHODS}
    expected = textbook(reference, cores)
    times = medians_ms(ways, device, repeats)
    textbook_ms = min(times[name] for name in (TEXTBOOK, ON_ONE_THREAD) if name in times)
    return [
        Timing(
            precision=precision,
            batch=batch,
            guidance=guidance,
            way=name,
            median_ms=times[name],
            ratio=textbook_ms / times[name],
            max_abs_error=float((way() - expected).abs().max()),
            same_pixels=float((to_pixels(way(), config) == to_pixels(expected, config)).double().mean()),
        )
        for name, way in ways.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every case and print the table."""
    parsed = _parser().parse_args(arguments)
    device = warm_device(parsed.device)
    reference = load(parsed.checkpoint, device)
    name, machine = device_name(device), platform.machine()
    print(f"{parsed.checkpoint} on {name}, {os.cpu_count()} cores, torch {torch.__version__}, {machine}")
    print(COLUMNS)
    timings: list[Timing] = []
    for precision in parsed.precision or (("float32", "bf16") if device.type == "cuda" else ("float32",)):
        flow = in_precision(reference, precision)
        torch.set_num_threads(1)
        sampler = Sampler.prepare(flow, threads=os.cpu_count() or 1).calibrated()
        for batch in parsed.batch:
            for guidance in parsed.guidance:
                ways = measure(reference, flow, sampler, precision, batch, guidance, parsed.repeats)
                print("\n".join(timing.line() for timing in ways), flush=True)
                timings += ways
                if parsed.json:  # as they come: who is cut off keeps what there is
                    parsed.json.write_text(json.dumps([asdict(timing) for timing in timings], indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description="Time the samplers.")
    parser.add_argument("--checkpoint", default="mnist-28", help="checkpoint folder or bundled name (%(default)s)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 16, 32], help="batch sizes")
    parser.add_argument("--guidance", type=float, nargs="+", default=[0.0, 2.0], help="weights")
    parser.add_argument("--precision", nargs="+", choices=("float32", "bf16"), help="default: both on a GPU")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
