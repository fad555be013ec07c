"""What the published ImageNet-64 shape costs: importing a file of it, and making a picture.

Owns a published file of random weights, made on demand, and the measuring of one process at a time: seconds,
CPU seconds and the most memory it held. Knows nothing of what the pictures show. Run it, on Linux, with

    python -m benchmarks.published [--folder DIR] [--json FILE]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn

from model import TarFlow, TarFlowConfig

# Class-conditional ImageNet at 64 x 64, [4-1024-8-8], noise 0.05.
PUBLISHED = TarFlowConfig(64, 4, 1024, 8, 8, num_classes=1000, noise_std=0.05)
SHAPE = "[4-1024-8-8] at 64 x 64, 1,000 classes"
FILE_NAME = "imagenet_64_model_4_1024_8_8_0.05.pth"
OUTPUT_STD = 1e-3  # a scale near 1: the picture of random weights stays finite
REPOSITORY = Path(__file__).parents[1]
MIB = 2**20
# Of this process alone, from its exec on: what a parent held counts in `ru_maxrss`.
PROGRAMME = """
import importlib, json, sys, time
main = importlib.import_module(sys.argv[1]).main
started_s = time.perf_counter()
status = main(sys.argv[2:])
seconds, cpu_seconds = time.perf_counter() - started_s, time.process_time()
peak_kib = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": peak_kib / 1024}))
sys.exit(status)
"""


@dataclass(frozen=True)
class Cost:
    """What one command took; `output` is what it printed."""

    command: str
    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str

    def line(self) -> str:
        """The row of the table."""
        return f"{self.command:<37}  {self.seconds:>7.1f}  {self.cpu_seconds:>11.1f}  {self.peak_mib:>8.0f}"


def write_random(file: Path, config: TarFlowConfig = PUBLISHED, seed: int = 0) -> None:
    """Write a state dict of random float32 weights under its published names, masks included."""
    torch.manual_seed(seed)
    flow = TarFlow(config)
    state = dict(flow.state_dict())
    for index, block in enumerate(flow.blocks):
        nn.init.normal_(block.proj_out.weight, std=OUTPUT_STD)
        state[f"blocks.{index}.attn_mask"] = torch.ones(config.patches, config.patches).tril()
    torch.save(state, file)


def cost(module: str, *arguments: str) -> Cost:
    """Run `python -m module arguments` in a process of its own and measure it.

    Raises:
        RuntimeError: It failed; the message is what it said.
    """
    done = subprocess.run(
        (sys.executable, "-c", PROGRAMME, module, *arguments), cwd=REPOSITORY, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)}: {done.stderr.strip()}")
    *printed, measured = done.stdout.splitlines()
    return Cost(arguments[0], output="\n".join(printed), **json.loads(measured))


def import_cost(file: Path, out: Path, *options: str) -> Cost:
    """What `tarflow import` takes."""
    return cost("training.__main__", "import", str(file), "--out", str(out), *options)


def picture_cost(checkpoint: Path, class_name: str, out: Path, *options: str) -> Cost:
    """What `tarflow generate` takes: loading, sampling and, unless told otherwise, denoising one picture."""
    given = ("--model", str(checkpoint), "--class", class_name, "--seed", "7", "--device", "cpu", "--out", str(out))
    return cost("worker.__main__", "generate", *given, *options)


def score_cost(checkpoint: Path, class_name: str, picture: Path) -> Cost:
    """What `tarflow score` takes: loading, and one forward pass."""
    given = (str(picture), "--model", str(checkpoint), "--class", class_name, "--device", "cpu")
    return cost("worker.__main__", "score", *given)


def measure(folder: Path) -> list[Cost]:
    """Every row of the table, printed as it comes; the files stay in `folder`."""
    file, checkpoint = folder / FILE_NAME, folder / "imagenet-64"
    write_random(file)
    weights = f"{SHAPE}: {file.stat().st_size / MIB:.0f} MiB of random weights"
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, {weights}")
    print(f"{'command':<37}  {'seconds':>7}  {'CPU seconds':>11}  {'peak MiB':>8}", flush=True)
    rows = []
    for title, step in (
        ("import", lambda: import_cost(file, checkpoint, "--class-names", "imagenet")),
        ("generate, guidance 2, denoised", lambda: picture_cost(checkpoint, "207", folder / "207.png")),
        (
            "generate, no guidance, not denoised",
            lambda: picture_cost(
                checkpoint, "golden retriever", folder / "plain.png", "--guidance", "0", "--no-denoise"
            ),
        ),
    ):
        row = step()
        rows.append(replace(row, command=title))
        print(rows[-1].line(), flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table; 0 = done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published", description="The published shape's cost.")
    parser.add_argument("--folder", type=Path, help="where the 6.1 GiB of files go; default: nowhere that stays")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parsed = parser.parse_args(arguments)
    if parsed.folder:
        parsed.folder.mkdir(parents=True, exist_ok=True)
        rows = measure(parsed.folder)
    else:
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(Path(folder))
    if parsed.json:
        parsed.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
