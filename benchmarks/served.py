"""What serving costs a busy worker: pictures per second over HTTP beside the engine alone at the same batch.

Owns the pinning and the table. The worker, or the engine, has the last core to itself; clients, Redis and the API
share the others.

    python -m benchmarks.served [--model mnist-28] [--clients 64] [--seconds 20] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.contenders import MAX_BATCH, free_port, posting, program, until_answers
from benchmarks.queue import client
from service.embedded_redis import embedded_redis
from worker.contract import NO_CLASS, GenerateRequest, model_name
from worker.engine import Engine

GUIDANCE = 2.0
WARM_UP_S = 5.0
CORES = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Rates:
    """Pictures per second with `clients` in turn over HTTP, and from the engine alone just before and after."""

    model: str
    batch: int
    clients: int
    served_per_s: float
    engine_per_s: tuple[float, float]
    share: float

    def lines(self) -> str:
        """The rates for a reader."""
        before, after = self.engine_per_s
        return (
            f"engine alone, batches of {self.batch}: {before:.1f} and {after:.1f} pictures/s\n"
            f"served to {self.clients} clients:      {self.served_per_s:.1f} pictures/s, {self.share:.1%}"
        )


async def served(model: str, clients: int, seconds: float) -> float:
    """Pictures per second that clients get, each of whom asks for one at a time."""
    port = free_port()
    os.sched_setaffinity(0, CORES[:-1])
    with embedded_redis() as url:
        settings = {"REDIS_URL": url, "PORT": str(port), "MODELS": model, "THREADS": "1", "METRICS_PORT": "0"}
        environment = {**os.environ, **{f"TARFLOW_{name}": value for name, value in settings.items()}}
        api = program([sys.executable, "-m", "service", "api"], environment)
        worker = program(["taskset", "-c", str(CORES[-1]), sys.executable, "-m", "worker", "worker"], environment)
        with api, worker:
            await until_answers(port, "/readyz")
            from_s = time.perf_counter() + WARM_UP_S
            path = f"/generate?class=7&guidance={GUIDANCE}&seed="
            asks = [posting(port, lambda seed: (f"{path}{seed}", b"")) for _ in range(clients)]
            every = [client(ask, 1 + index * 1_000_000, from_s, from_s + seconds) for index, ask in enumerate(asks)]
            return sum(len(times) for times in await asyncio.gather(*every)) / seconds


def alone(model: str, seconds: float) -> float:
    """Pictures per second of the engine itself, full batches one after the other."""
    os.sched_setaffinity(0, CORES[-1:])
    torch.set_num_threads(1)
    engine = Engine.start(model_name(model), model, "cpu").warmed_up(1)
    requests = [
        GenerateRequest(
            model=engine.name,
            model_digest=engine.digest,
            class_index=7 if engine.flow.config.num_classes else NO_CLASS,
            guidance=GUIDANCE,
            n=1,
            seed=seed,
            denoise=True,
            attention_temperature=1,
        )
        for seed in range(MAX_BATCH)
    ]
    engine.generate(requests)
    batches, started_s = 0, time.perf_counter()
    while time.perf_counter() < started_s + seconds:
        engine.generate(requests)
        batches += 1
    return batches * MAX_BATCH / (time.perf_counter() - started_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the engine, the service and the engine again, and print the share."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.served", description="Time the served engine.")
    parser.add_argument("--model", default="mnist-28", help="checkpoint (%(default)s)")
    parser.add_argument("--clients", type=int, default=64, help="requests in flight (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parsed = parser.parse_args(arguments)
    before = alone(parsed.model, parsed.seconds / 2)
    through = asyncio.run(served(parsed.model, parsed.clients, parsed.seconds))
    after = alone(parsed.model, parsed.seconds / 2)
    share = 2 * through / (before + after)
    rates = Rates(parsed.model, MAX_BATCH, parsed.clients, through, (before, after), share)
    print(f"{len(CORES)} cores, {parsed.model}, guidance {GUIDANCE:g}, denoised\n{rates.lines()}")
    if parsed.json:
        parsed.json.write_text(json.dumps(asdict(rates), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
