"""How near the exact sampler comes to what the memory of a device allows, at the published shapes.

Owns the shapes, the bandwidth measured in the same run, and the table. Weights are random: they
do not change the time. Knows nothing of pictures.

    python -m benchmarks.roofline --device cuda [--json FILE]
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.clock import medians_ms
from benchmarks.sampling import Precision, in_precision
from benchmarks.textbook import textbook_sample
from benchmarks.warm_device import warm_device
from model import Sampler, TarFlow, TarFlowConfig, sample
from model.device import device_name
from model.memory import sampling_bytes

# [patch-channels-blocks-layers] and the side of the image, as published; what says most first.
SHAPES = {
    "2-768-8-8@64": (64, 2, 768, 8, 8),
    "4-1024-8-8@64": (64, 4, 1024, 8, 8),
    "8-768-8-8@256": (256, 8, 768, 8, 8),
    "4-1024-8-8@128": (128, 4, 1024, 8, 8),
    "2-64-2-2@8": (8, 2, 64, 2, 2),
}
# Blocks of a shape are alike: two, one in each direction, stand for all of them.
TIMED_BLOCKS = 2
COPIED_BYTES = 1 << 30
COLUMNS = "shape            precision  batch  textbook ms  exact ms  ratio  roofline  max abs error  memory"


@dataclass(frozen=True)
class Row:
    """One shape and batch at guidance `guidance`, for all the blocks of the shape.

    `roofline` is the time that reading the weights once a step and the keys and values of every row takes at
    the bandwidth measured, over the time of the exact sampler.
    """

    shape: str
    precision: Precision
    batch: int
    guidance: float
    textbook_ms: float
    exact_ms: float
    roofline: float
    max_abs_error: float
    memory_over_predicted: float | None

    def line(self) -> str:
        """The row of the table."""
        memory = "-" if self.memory_over_predicted is None else f"{self.memory_over_predicted:.2f}"
        return (
            f"{self.shape:<15}  {self.precision:<9}  {self.batch:>5}  {self.textbook_ms:>11.0f}  {self.exact_ms:>8.0f}"
            f"  {self.textbook_ms / self.exact_ms:>5.2f}  {self.roofline:>8.1%}  {self.max_abs_error:>13.1e}"
            f"  {memory:>6}"
        )


def bandwidth_bytes_per_s(device: torch.device, size: int = COPIED_BYTES) -> float:
    """Bytes read and written a second by a copy of `size` bytes."""
    source = torch.randint(0, 256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    milliseconds = medians_ms({"copy": lambda: target.copy_(source)}, device, repeats=9)["copy"]
    return 2 * size / milliseconds * 1e3


def random_flow(shape: str, device: torch.device) -> TarFlow:
    """A flow of TIMED_BLOCKS blocks of this shape, 1,000 classes, with an output that is not zero."""
    side, patch, channels, _, layers = SHAPES[shape]
    torch.manual_seed(0)
    config = TarFlowConfig(
        image_size=side,
        patch_size=patch,
        channels=channels,
        blocks=TIMED_BLOCKS,
        layers_per_block=layers,
        num_classes=1000,
    )
    flow = TarFlow(config).requires_grad_(False)
    for block in flow.blocks:
        nn.init.normal_(block.proj_out.weight, std=1e-3)
    return flow.to(device)


def step_bytes(flow: TarFlow, rows: int) -> float:
    """Bytes that one step of one block must read: its weights, and on average half the cache."""
    block, config = flow.blocks[0], flow.config
    weights = [weight for name, weight in block.named_parameters() if not name.startswith(("pos_embed", "class_embed"))]
    size = weights[0].element_size()
    cache = 2 * config.layers_per_block * rows * config.channels * (config.patches - 1) / 2
    return size * (sum(weight.numel() for weight in weights) + cache)


def measure(shape: str, flow: TarFlow, precision: Precision, batch: int, parsed: argparse.Namespace) -> Row:
    """Time both ways on the same noise; `flow` computes in `precision`."""
    config, device, guidance = flow.config, flow.var.device, parsed.guidance
    noise = torch.randn(batch, config.patches, config.patch_dims, generator=torch.Generator().manual_seed(0)).to(device)
    labels = (torch.arange(batch) % config.num_classes).to(device)
    sampler = Sampler.prepare(flow)

    def exact() -> Tensor:
        return sample(flow, noise, labels, guidance, method="sequential", sampler=sampler)

    def textbook() -> Tensor:
        return textbook_sample(flow, noise, labels, guidance)

    memory = _peak_over_predicted(exact, flow, batch) if device.type == "cuda" else None
    error = float((exact() - textbook()).abs().max())
    times = medians_ms({"exact": exact, "textbook": textbook}, device, parsed.repeats)
    floor_s = (config.patches - 1) * TIMED_BLOCKS * step_bytes(flow, 2 * batch) / parsed.bandwidth
    every = SHAPES[shape][3] / TIMED_BLOCKS
    return Row(
        shape=shape,
        precision=precision,
        batch=batch,
        guidance=guidance,
        textbook_ms=times["textbook"] * every,
        exact_ms=times["exact"] * every,
        roofline=floor_s * 1e3 / times["exact"],
        max_abs_error=error,
        memory_over_predicted=memory,
    )


def _peak_over_predicted(exact: Callable[[], Tensor], flow: TarFlow, batch: int) -> float:
    """Peak of the second call's memory over what was foretold; the first captures the graphs."""
    device = flow.var.device
    before = torch.cuda.memory_allocated(device)
    exact()
    torch.cuda.reset_peak_memory_stats(device)
    exact()
    itemsize = flow.blocks[0].pos_embed.element_size()
    predicted = sampling_bytes(flow.config, batch, 2 * batch, itemsize=itemsize)
    return float((torch.cuda.max_memory_allocated(device) - before) / predicted)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every shape, precision and batch, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roofline", description="Time the published shapes.")
    parser.add_argument("--device", default="cuda", help="auto, cpu, cuda")
    parser.add_argument("--shape", nargs="+", choices=SHAPES, help="default: the published ones")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32], help="batch sizes")
    parser.add_argument("--guidance", type=float, default=2.0, help="weight (%(default)s)")
    parser.add_argument("--precision", nargs="+", choices=("float32", "bf16"), default=["float32", "bf16"])
    parser.add_argument("--repeats", type=int, default=1, help="timed runs of each (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parsed = parser.parse_args(arguments)
    device = warm_device(parsed.device)
    parsed.bandwidth = bandwidth_bytes_per_s(device, COPIED_BYTES if device.type == "cuda" else COPIED_BYTES // 16)
    print(f"{device_name(device)}, torch {torch.__version__}, guidance {parsed.guidance:g}")
    print(f"copies: {parsed.bandwidth / 1e9:.0f} GB/s, read and written")
    print(COLUMNS)
    rows = []
    for shape in parsed.shape or [name for name in SHAPES if not name.endswith("@8")]:
        reference = random_flow(shape, device)
        for precision in parsed.precision:
            flow = in_precision(reference, precision)
            for batch in parsed.batch:
                rows.append(measure(shape, flow, precision, batch, parsed))
                print(rows[-1].line(), flush=True)
                if parsed.json:  # as they come: who is cut off keeps what there is
                    figures = {"bandwidth_bytes_per_s": parsed.bandwidth, "rows": [asdict(row) for row in rows]}
                    parsed.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
