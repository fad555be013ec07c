"""What a calibrated score costs beside a plain one, and how far a score depends on its neighbours.

Owns the cases and their table. Knows nothing of whether verdicts are right: that is `anomaly.py`.

    python -m benchmarks.judging [--checkpoint NAME] [--device cpu] [--json FILE]
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.clock import medians_ms
from worker.contract import CalibrationId, ScoreInput, ScoreRequest
from worker.engine import Engine

COLUMNS = "batch  plain ms  calibrated ms  ratio  with patches ms"


@dataclass(frozen=True)
class Cost:
    """Medians of one batch size, measured in turn."""

    batch: int
    plain_ms: float
    calibrated_ms: float
    patches_ms: float

    def line(self) -> str:
        """The cost as a row of the table."""
        ratio = self.calibrated_ms / self.plain_ms
        times = f"{self.plain_ms:>8.1f}  {self.calibrated_ms:>13.1f}  {ratio:>5.3f}  {self.patches_ms:>15.1f}"
        return f"{self.batch:>5}  {times}"


def request(engine: Engine, batch: int, calibrated: bool, patches: bool = False) -> ScoreRequest:
    """A request for so many images."""
    own = engine.calibrations[0]
    return ScoreRequest(
        model=engine.name,
        model_digest=engine.digest,
        class_index=-1,
        images=(ScoreInput(sha256="0" * 64),) * batch,
        calibration=CalibrationId(name=own.name, digest=own.digest) if calibrated else None,
        patches=patches,
    )


def measure(engine: Engine, pixels: Tensor, repeats: int) -> Cost:
    """Time scores of uint8 pixels (N, C, H, W), from pixels to the stored result's types."""
    ways = {
        "plain": request(engine, len(pixels), calibrated=False),
        "calibrated": request(engine, len(pixels), calibrated=True),
        "patches": request(engine, len(pixels), calibrated=True, patches=True),
    }
    timed = {name: partial(engine.score, each, pixels) for name, each in ways.items()}
    times = medians_ms(timed, engine.device, repeats)
    return Cost(len(pixels), times["plain"], times["calibrated"], times["patches"])


def greatest_difference(engine: Engine, pixels: Tensor) -> tuple[float, float]:
    """Of each image scored alone and among all: nats per dim, and p-values."""
    alone = torch.cat([_numbers(engine, each[None]) for each in pixels])
    nats, p_values = (_numbers(engine, pixels) - alone).abs().amax(dim=0).tolist()
    return nats / engine.flow.config.dims, p_values


def _numbers(engine: Engine, pixels: Tensor) -> Tensor:
    """Log-likelihood in nats and p-value of each image, (N, 2)."""
    scores = engine.score(request(engine, len(pixels), calibrated=True), pixels).scores
    numbers = [(each.log_likelihood_nats, each.verdict.p_value) for each in scores if each.verdict]
    return torch.tensor(numbers, dtype=torch.float64)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every batch size and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judging", description="Time calibrated scores.")
    parser.add_argument("--checkpoint", default="mnist-28", help="calibrated checkpoint (%(default)s)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16, 64], help="batch sizes")
    parser.add_argument("--repeats", type=int, default=15, help="timed runs of each (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parsed = parser.parse_args(arguments)
    torch.set_num_threads(1)
    engine = Engine.start("own", parsed.checkpoint, parsed.device)
    config = engine.flow.config
    # A tenth of the values white: about as easy to compress as a digit.
    shape = (max(parsed.batch), config.in_channels, config.image_size, config.image_size)
    pixels = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.1).to(torch.uint8) * 255
    print(f"{parsed.checkpoint} on {engine.device}, one thread of {os.cpu_count()} cores")
    print(COLUMNS)
    costs = []
    for batch in parsed.batch:
        costs.append(measure(engine, pixels[:batch], parsed.repeats))
        print(costs[-1].line(), flush=True)
    nats, p_values = greatest_difference(engine, pixels)
    print(f"alone and among {len(pixels)}: at most {nats:.1e} nats per dim and {p_values:.1e} of a p-value apart")
    if parsed.json:
        body = {"costs": [asdict(each) for each in costs], "nats_per_dim_apart": nats, "p_values_apart": p_values}
        parsed.json.write_text(json.dumps(body, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
